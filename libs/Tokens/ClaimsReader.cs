using System.Text;
using System.Text.Json;

namespace ClawBureau.Tokens;

/// <summary>
/// Reads a token's payload from its bytes, contract 5.1 rows 4 to 6. A payload that is no strict JSON is told
/// first, then a wrong version, then a wrong shape, wherever in the text each stands; what comes after that is not read. The shape is the published schema with
/// the wider DIDs of section 9 item 27; unknown claims are passed over.
/// </summary>
internal ref struct ClaimsReader
{
    // In the order our own payloads have, see FindName.
    private static readonly byte[][] Names = [.. new[]
    {
        "token_version", "sub", "aud", "scope", "iat", "exp", "owner_ref", "owner_did", "controller_did", "agent_did",
        "policy_hash_b64u", "control_plane_policy_hash_b64u", "token_scope_hash_b64u", "payment_account_did", "spend_cap",
        "mission_id", "delegation_id", "delegator_did", "delegate_did", "delegation_policy_hash_b64u",
        "delegation_spend_cap_minor", "delegation_expires_at", "token_lane", "jti", "nonce",
    }.Select(name => Encoding.ASCII.GetBytes(name))];

    private Utf8JsonReader _json;

    /// <summary>False as soon as one claim has not the form it must have.</summary>
    private bool _hasShape = true;

    private ClaimsReader(ReadOnlySpan<byte> strict) => _json = StrictJson.Reader(strict);

    internal static TokenFault? Read(ReadOnlySpan<byte> utf8, out TokenClaims? claims)
    {
        claims = null;
        return StrictJson.IsStrict(utf8) ? new ClaimsReader(utf8).Read(out claims) : TokenFault.PayloadEncoding;
    }

    private TokenFault? Read(out TokenClaims? claims)
    {
        claims = null;
        bool? isOurVersion = null;
        string? sub = null, ownerRef = null, missionId = null, jti = null, nonce = null;
        Audience? audience = null;
        List<string>? scope = null;
        long? issuedAt = null, expiresAt = null;
        Did? ownerDid = null, controllerDid = null, agentDid = null, paymentAccountDid = null;
        PolicyHash? policyHash = null, controlPlanePolicyHash = null;
        ScopeHash? scopeHash = null;
        double? spendCap = null;
        TokenLane? lane = null;
        var delegation = new DelegationParts();

        _json.Read();
        if (_json.TokenType != JsonTokenType.StartObject) return TokenFault.InvalidClaims;
        var expected = 0;
        while (StrictJson.NextMember(ref _json))
        {
            var index = FindName(expected);
            if (index >= 0) expected = index + 1;
            _json.Read();
            switch (index)
            {
                case 0: isOurVersion = _json.TokenType == JsonTokenType.String && _json.ValueTextEquals("1"u8); break;
                case 1: sub = NonBlankText(); break;
                case 2: audience = ReadAudience(); break;
                case 3: scope = ReadScope(); break;
                case 4: issuedAt = Seconds(); break;
                case 5: expiresAt = Seconds(); break;
                case 6: ownerRef = Text(); break;
                case 7: ownerDid = ReadDid(); break;
                case 8: controllerDid = ReadDid(); break;
                case 9: agentDid = ReadDid(); break;
                case 10: policyHash = ReadPolicyHash(); break;
                case 11: controlPlanePolicyHash = ReadPolicyHash(); break;
                case 12: scopeHash = Fits(ScopeHash.TryParse(Text(), out var hash)) ? hash : null; break;
                case 13: paymentAccountDid = ReadDid(); break;
                case 14: spendCap = Amount(); break;
                case 15: missionId = Text(); break;
                case 16: delegation.Id = Text(); break;
                case 17: delegation.DelegatorDid = ReadDid(); break;
                case 18: delegation.DelegateDid = ReadDid(); break;
                case 19: delegation.PolicyHash = ReadPolicyHash(); break;
                case 20: delegation.SpendCapMinor = Digits(); break;
                case 21: delegation.ExpiresAt = Seconds(); break;
                case 22: lane = Fits(TokenLanes.TryParse(Text(), out var parsed)) ? parsed : null; break;
                case 23: jti = Text(); break;
                case 24: nonce = Text(); break;
            }
            if (isOurVersion is false) return TokenFault.UnknownVersion;
            if (!_hasShape && isOurVersion is true) return TokenFault.InvalidClaims; // a wrong version is told before a wrong shape
            _json.Skip(); // what is no claim of ours, or has not its form
        }

        if (!_hasShape || isOurVersion is null || sub is null || audience is null || scope is null || issuedAt is null || expiresAt is null)
            return TokenFault.InvalidClaims;
        claims = new TokenClaims
        {
            Sub = sub,
            Audience = audience,
            Scope = scope,
            IssuedAt = issuedAt.Value,
            ExpiresAt = expiresAt.Value,
            OwnerRef = ownerRef,
            OwnerDid = ownerDid,
            ControllerDid = controllerDid,
            AgentDid = agentDid,
            PolicyHash = policyHash,
            ControlPlanePolicyHash = controlPlanePolicyHash,
            TokenScopeHash = scopeHash,
            PaymentAccountDid = paymentAccountDid,
            SpendCap = spendCap,
            MissionId = missionId,
            Delegation = delegation.ToDelegation(),
            Lane = lane,
            Jti = jti,
            Nonce = nonce,
        };
        return null;
    }

    /// <summary>Which claim the current member is; -1 if none. Claims mostly come in our order, so the search starts there.</summary>
    private int FindName(int expected)
    {
        var name = _json.ValueIsEscaped ? Encoding.UTF8.GetBytes(_json.GetString()!) : _json.ValueSpan; // "s\u0075b" is sub too
        for (var step = 0; step < Names.Length; step++)
        {
            var index = (expected + step) % Names.Length;
            if (name.SequenceEqual(Names[index])) return index;
        }
        return -1;
    }

    private bool Fits(bool condition)
    {
        _hasShape &= condition;
        return condition;
    }

    /// <summary>The current value if it is text that can be stored. Where another claim is wrong already, nobody will want it.</summary>
    private string? Text()
    {
        if (!Fits(_json.TokenType == JsonTokenType.String) || !_hasShape) return null;
        var text = _json.GetString()!;
        return Fits(StorableText.IsStorable(text)) ? text : null;
    }

    private string? NonBlankText() => Text() is { } text && Fits(!JsText.IsBlank(text)) ? text : null;

    private Audience? ReadAudience()
    {
        if (_json.TokenType == JsonTokenType.String)
            return Text() is { } single && Fits(single.Length > 0) ? Audience.Of(single) : null;
        var values = Texts(int.MaxValue);
        return values is not null && Fits(values.Count > 0 && !values.Contains("")) ? Audience.Of(values) : null;
    }

    private List<string>? ReadScope()
    {
        var values = Texts(TokenLimits.MaxScopeItems);
        return values is not null && Fits(values.Count > 0) ? values : null;
    }

    /// <param name="most">More have not the form.</param>
    private List<string>? Texts(int most)
    {
        if (!Fits(_json.TokenType == JsonTokenType.StartArray)) return null;
        var count = CountItems();
        if (!Fits(count <= most) || !_hasShape) return null;
        var values = new List<string>(count);
        while (StrictJson.NextItem(ref _json))
        {
            if (Text() is { } value) values.Add(value);
            else _json.Skip();
        }
        return values;
    }

    private readonly int CountItems()
    {
        var ahead = _json;
        var count = 0;
        for (; StrictJson.NextItem(ref ahead); count++) ahead.Skip();
        return count;
    }

    /// <summary>Epoch seconds: digits alone, neither fraction nor exponent, up to the year 9999.</summary>
    private long? Seconds()
    {
        long seconds = 0;
        return Fits(_json.TokenType == JsonTokenType.Number && _json.TryGetInt64(out seconds)
            && seconds is >= 0 and <= TokenLimits.MaxEpochSeconds)
            ? seconds
            : null;
    }

    private double? Amount()
    {
        double amount = 0;
        return Fits(_json.TokenType == JsonTokenType.Number && _json.TryGetDouble(out amount) && double.IsFinite(amount) && amount >= 0)
            ? amount
            : null;
    }

    private Did? ReadDid() => Fits(Did.TryParse(Text(), out var did)) ? did : null;

    private PolicyHash? ReadPolicyHash() => Fits(PolicyHash.TryParse(Text(), out var hash)) ? hash : null;

    private string? Digits() => Text() is { } text && Fits(text.Length > 0 && text.All(char.IsAsciiDigit)) ? text : null;

    private struct DelegationParts
    {
        internal string? Id;
        internal Did? DelegatorDid;
        internal Did? DelegateDid;
        internal PolicyHash? PolicyHash;
        internal string? SpendCapMinor;
        internal long? ExpiresAt;

        internal readonly Delegation? ToDelegation()
        {
            var delegation = new Delegation
            {
                Id = Id,
                DelegatorDid = DelegatorDid,
                DelegateDid = DelegateDid,
                PolicyHash = PolicyHash,
                SpendCapMinor = SpendCapMinor,
                ExpiresAt = ExpiresAt,
            };
            return delegation.IsEmpty ? null : delegation;
        }
    }
}
