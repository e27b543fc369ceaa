using System.Text;
using System.Text.Json;

namespace ClawBureau.Tokens;

/// <summary>
/// Reads a token's payload in one pass over its bytes, contract 5.1 rows 4 to 6. A payload that is no strict JSON is told
/// first, then a wrong version, then a wrong shape, wherever in the text each stands. The shape is the published schema with
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

    private ClaimsReader(ReadOnlySpan<byte> utf8) => _json = StrictJson.Reader(utf8);

    /// <exception cref="JsonException">Not strict JSON.</exception>
    /// <exception cref="Refusal"><see cref="Reason.TokenUnknownVersion"/> or <see cref="Reason.TokenInvalidClaims"/>.</exception>
    internal static TokenClaims Read(ReadOnlySpan<byte> utf8) => new ClaimsReader(utf8).Read();

    private TokenClaims Read()
    {
        string? sub = null, ownerRef = null, missionId = null, jti = null, nonce = null, version = null;
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
        if (_json.TokenType != JsonTokenType.StartObject)
        {
            StrictJson.Skip(ref _json);
            StrictJson.RequireEnd(ref _json);
            throw new Refusal(Reason.TokenInvalidClaims);
        }
        var seen = 0;
        var expected = 0;
        HashSet<string>? unknown = null;
        while (StrictJson.NextMember(ref _json))
        {
            var index = FindName(expected);
            if (index < 0)
            {
                StrictJson.AddOnce(unknown ??= new HashSet<string>(StringComparer.Ordinal), StrictJson.Text(ref _json));
                _json.Read();
                StrictJson.Skip(ref _json);
                continue;
            }
            if ((seen & (1 << index)) != 0) throw new JsonException("a claim stands twice");
            seen |= 1 << index;
            expected = index + 1;
            _json.Read();
            switch (index)
            {
                case 0: version = Version(); break;
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
        }
        StrictJson.RequireEnd(ref _json);

        const int versionBit = 1;
        if ((seen & versionBit) != 0 && version != TokenClaims.Version) throw new Refusal(Reason.TokenUnknownVersion);
        if (!_hasShape || version is null || sub is null || audience is null || scope is null || issuedAt is null || expiresAt is null)
            throw new Refusal(Reason.TokenInvalidClaims);
        return new TokenClaims
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
    }

    /// <summary>Which claim the current member is; -1 if none. Claims mostly come in our order, so the search starts there.</summary>
    private int FindName(int expected)
    {
        // "s\u0075b" is sub too, and must not pass as a second, different member.
        var name = _json.ValueIsEscaped ? Encoding.UTF8.GetBytes(StrictJson.Text(ref _json)) : _json.ValueSpan;
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

    /// <summary>The current value if it is text that can be stored.</summary>
    private string? Text()
    {
        if (Fits(_json.TokenType == JsonTokenType.String))
        {
            var text = StrictJson.Text(ref _json);
            return Fits(StorableText.IsStorable(text)) ? text : null;
        }
        StrictJson.Skip(ref _json);
        return null;
    }

    private string? NonBlankText() => Text() is { } text && Fits(!JsText.IsBlank(text)) ? text : null;

    /// <summary>The text, or anything that is not the version; its form is judged apart from the other claims'.</summary>
    private string? Version()
    {
        if (_json.TokenType == JsonTokenType.String) return StrictJson.Text(ref _json);
        StrictJson.Skip(ref _json);
        return null;
    }

    private Audience? ReadAudience()
    {
        if (_json.TokenType == JsonTokenType.String)
            return Text() is { } single && Fits(single.Length > 0) ? Audience.Of(single) : null;
        var values = Texts();
        return values is not null && Fits(values.Count > 0 && !values.Contains("")) ? Audience.Of(values) : null;
    }

    private List<string>? ReadScope()
    {
        var values = Texts();
        return values is not null && Fits(values.Count is > 0 and <= TokenLimits.MaxScopeItems) ? values : null;
    }

    private List<string>? Texts()
    {
        if (!Fits(_json.TokenType == JsonTokenType.StartArray))
        {
            StrictJson.Skip(ref _json);
            return null;
        }
        var values = new List<string>();
        while (StrictJson.NextItem(ref _json))
        {
            if (Text() is { } value) values.Add(value);
        }
        return values;
    }

    /// <summary>Epoch seconds: digits alone, neither fraction nor exponent, up to the year 9999.</summary>
    private long? Seconds()
    {
        long seconds = 0;
        if (Fits(_json.TokenType == JsonTokenType.Number && _json.TryGetInt64(out seconds)
            && seconds is >= 0 and <= TokenLimits.MaxEpochSeconds))
            return seconds;
        StrictJson.Skip(ref _json);
        return null;
    }

    private double? Amount()
    {
        double amount = 0;
        if (Fits(_json.TokenType == JsonTokenType.Number && _json.TryGetDouble(out amount) && double.IsFinite(amount) && amount >= 0))
            return amount;
        StrictJson.Skip(ref _json);
        return null;
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
