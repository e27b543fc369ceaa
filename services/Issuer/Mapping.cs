using System.Security.Cryptography;
using ClawBureau.Hosting.Callers;
using ClawBureau.Hosting.Calls;
using ClawBureau.Hosting.Claims;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Ledger;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Policy.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Issuer;

/// <summary>Between the wire's types and this service's own.</summary>
internal static class Mapping
{
    private const int MostCorrelation = 256;
    private const int MostRunId = 256;
    private const int MostReason = 256;
    private const int MostJti = 128;
    private const int MostIdempotencyKey = 128;

    public static MintOrder ToOrder(IssueTokenRequest request, Caller caller, CallCorrelation call)
    {
        var idempotencyKey = ToIdempotencyKey(request.IdempotencyKey);
        return new MintOrder(
            ToTokenRequest(request),
            request.Lane == Wire.TokenLane.Canonical ? TokenLane.Canonical : TokenLane.Legacy,
            caller.Name,
            ToCorrelation(request.Correlation, call, request.HasMissionId ? request.MissionId : "", request.HasRunId ? request.RunId : ""),
            idempotencyKey,
            idempotencyKey is null ? [] : HashOf(request));
    }

    private static TokenRequest ToTokenRequest(IssueTokenRequest r) => new()
    {
        Tier = Given(r.Tier),
        Sub = r.Sub,
        Audience = r.Aud is null ? null : r.Aud is { AsArray: false, Values.Count: 1 } ? Audience.Of(r.Aud.Values[0]) : Audience.Of(r.Aud.Values),
        Scope = r.Scope,
        TtlSeconds = r.Ttl is null ? null : r.Ttl.Seconds + r.Ttl.Nanos / 1e9,
        ExpiresAt = r.ExpiresAt is null ? null : r.ExpiresAt.Seconds,
        OwnerRef = r.HasOwnerRef ? r.OwnerRef : null,
        OwnerDid = Given(r.OwnerDid),
        ControllerDid = Given(r.ControllerDid),
        AgentDid = Given(r.AgentDid),
        Lane = r.HasStatedLane ? r.StatedLane : r.Lane == Wire.TokenLane.Canonical ? TokenLane.Canonical.ToClaim() : null,
        PolicyHash = r.HasPolicyHashB64U ? r.PolicyHashB64U : null,
        ControlPlanePolicyHash = r.HasControlPlanePolicyHashB64U ? r.ControlPlanePolicyHashB64U : null,
        PaymentAccountDid = r.HasPaymentAccountDid ? r.PaymentAccountDid : null,
        SpendCap = r.HasSpendCap ? r.SpendCap : null,
        MissionId = r.HasMissionId ? r.MissionId : null,
        DelegationId = r.Delegation is { HasDelegationId: true } ? r.Delegation.DelegationId : null,
        DelegatorDid = r.Delegation is { HasDelegatorDid: true } ? r.Delegation.DelegatorDid : null,
        DelegateDid = r.Delegation is { HasDelegateDid: true } ? r.Delegation.DelegateDid : null,
        DelegationPolicyHash = r.Delegation is { HasPolicyHashB64U: true } ? r.Delegation.PolicyHashB64U : null,
        DelegationSpendCapMinor = r.Delegation is { HasSpendCapMinor: true } ? r.Delegation.SpendCapMinor : null,
        DelegationExpiresAt = r.Delegation?.ExpiresAt?.Seconds,
    };

    /// <summary>What the request asks for, whoever serialised it: its own bytes without key and trace, made again here.</summary>
    private static byte[] HashOf(IssueTokenRequest request)
    {
        var content = request.Clone();
        content.IdempotencyKey = "";
        content.Correlation = null;
        return SHA256.HashData(content.ToByteArray());
    }

    private static string? ToIdempotencyKey(string key)
    {
        if (key.Length == 0) return null;
        return key.Length <= MostIdempotencyKey && key.All(c => c is > ' ' and <= '~') ? key : throw new Refusal(Reason.IdempotencyKeyInvalid);
    }

    public static Correlation ToCorrelation(Wire.Correlation? given, CallCorrelation call, string missionId, string runId)
    {
        return new Correlation(
            MissionId: Bounded(missionId, "mission_id", TokenLimits.MaxMissionIdLength),
            RunId: Bounded(runId, "run_id", MostRunId),
            TraceId: Bounded(given?.TraceId, "trace_id", MostCorrelation) ?? call.TraceId,
            CorrelationId: Bounded(given?.CorrelationId, "correlation_id", MostCorrelation) ?? call.CorrelationId);

        static string? Bounded(string? text, string field, int most) =>
            Given(text) is not { } value ? null
            : value.Length <= most ? value
            : throw new Refusal(Reason.FieldTooLong, metadata: new Dictionary<string, string> { ["field"] = field, ["most"] = $"{most}" });
    }

    public static IssueTokenResponse ToResponse(MintedToken minted)
    {
        var claims = minted.Token.Claims;
        var response = new IssueTokenResponse
        {
            Token = minted.Token.Compact,
            TokenHash = minted.Token.TokenHash.ToString(),
            TokenScopeHashB64U = claims.TokenScopeHash?.ToString() ?? "",
            Lane = claims.Lane == TokenLane.Canonical ? Wire.TokenLane.Canonical : Wire.TokenLane.Legacy,
            Claims = TokenClaimsMapping.ToWire(claims),
            Kid = minted.Token.KeyId.ToString(),
            PolicyVersion = minted.PolicyVersion,
            PolicyTier = minted.PolicyTier,
            IssuedAt = Seconds(claims.IssuedAt),
            ExpiresAt = Seconds(claims.ExpiresAt),
            Seq = minted.Seq.Value,
            Epoch = minted.Epoch.ToString(),
            Repeated = minted.Repeated,
        };
        if (claims.Lane != TokenLane.Canonical)
        {
            response.LegacyExchangeMode = minted.Mode switch
            {
                LegacyExchangeMode.Enabled => Wire.LegacyExchangeMode.Enabled,
                LegacyExchangeMode.Disabled => Wire.LegacyExchangeMode.Disabled,
                _ => Wire.LegacyExchangeMode.Migration,
            };
            if (minted.Mode == LegacyExchangeMode.Migration) response.MigrationNotice = LegacyExchangeModes.MigrationNotice;
        }
        return response;
    }

    /// <summary>What policy says of a request, and by which rule.</summary>
    /// <param name="now">Epoch seconds.</param>
    public static CheckPolicyResult ToCheckResult(MintOrder order, ScopePolicy policy, long now)
    {
        try
        {
            var grant = GrantRules.Check(order.Request, order.Lane, policy, policy.Grants);
            var tier = grant.Policy.Tier.Name;
            return new CheckPolicyResult
            {
                Allowed = true,
                Tier = tier,
                Rule = string.Join(", ", grant.Policy.Rulings.Select(ruling => $"tiers[{tier}].{ruling.Rule}").Distinct(StringComparer.Ordinal)),
                Ttl = new Duration { Seconds = grant.ExpiryFrom(now) - now },
            };
        }
        catch (Refusal refusal)
        {
            var tier = refusal.Metadata.GetValueOrDefault("tier", "");
            var rule = refusal.Metadata.GetValueOrDefault("rule", refusal.Reason == Reason.PolicyTierUnknown ? "tiers" : "");
            return new CheckPolicyResult { Tier = tier, Rule = tier.Length > 0 && rule.Length > 0 ? $"tiers[{tier}].{rule}" : rule, Refusal = ToError(refusal) };
        }
    }

    /// <exception cref="Refusal">INVALID_REQUEST: no name, or a blank one; INVALID_TOKEN_HASH; FIELD_TOO_LONG.</exception>
    public static RevocationOrder ToOrder(RevocationTarget target) => target.TargetCase switch
    {
        RevocationTarget.TargetOneofCase.Token when !JsText.IsBlank(target.Token) => new RevocationOrder(TokenHash.Of(target.Token), null),
        RevocationTarget.TargetOneofCase.TokenHash => TokenHash.TryParse(target.TokenHash, out var hash)
            ? new RevocationOrder(hash, null)
            : throw new Refusal(Reason.InvalidTokenHash),
        RevocationTarget.TargetOneofCase.Jti when !JsText.IsBlank(target.Jti) => target.Jti.Length <= MostJti
            ? new RevocationOrder(null, target.Jti)
            : throw Refusal.OfField(Reason.FieldTooLong, "jti"),
        _ => throw new Refusal(Reason.InvalidRequest, "token, token_hash or jti is required"),
    };

    /// <summary>Trimmed and cut to 256 characters (clawscope-http.md 1.3), never through a surrogate pair; null when blank.</summary>
    public static string? ToReasonText(string reason)
    {
        var text = JsText.Trim(reason);
        if (text.Length > MostReason) text = text[..(char.IsHighSurrogate(text[MostReason - 1]) ? MostReason - 1 : MostReason)];
        return Given(text);
    }

    public static TokenRevocation ToRevocation(RevocationOrder order, ActOutcome outcome) => new()
    {
        Status = outcome.Verdict == Verdict.Recorded ? RevocationStatus.Revoked : RevocationStatus.AlreadyRevoked,
        TokenHash = (outcome.TokenHash ?? order.TokenHash)?.ToString() ?? "",
        Jti = order.Jti ?? "",
        RevokedAt = Timestamp.FromDateTimeOffset(outcome.RecordedAt),
        Seq = outcome.Seq.Value,
        RevocationSeq = outcome.RevocationSeq.Value,
    };

    public static Wire.Revision ToRevision(IReadOnlyList<ActOutcome> outcomes) => new()
    {
        Epoch = outcomes[0].Epoch.ToString(),
        Seq = outcomes.Max(o => o.Seq.Value),
        RevocationSeq = outcomes.Max(o => o.RevocationSeq.Value),
    };

    public static Wire.Revision ToRevision(Revision revision) => new()
    {
        Epoch = revision.Epoch.ToString(),
        Seq = revision.Seq.Value,
        RevocationSeq = revision.RevocationSeq.Value,
    };

    public static Wire.Error ToError(Refusal refusal) => new()
    {
        Reason = (Wire.Reason)refusal.Reason,
        Sentence = refusal.Sentence ?? ReasonCatalog.Of(refusal.Reason).Sentence,
        Metadata = { refusal.Metadata.ToDictionary(m => m.Key, m => m.Value) },
    };

    private static Timestamp Seconds(long epochSeconds) => new() { Seconds = epochSeconds };

    private static string? Given(string? text) => string.IsNullOrEmpty(text) ? null : text;
}
