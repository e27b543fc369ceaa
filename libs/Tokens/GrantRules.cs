namespace ClawBureau.Tokens;

/// <summary>
/// Judges a request for a token by itself: form, policy and lane, in the order of contract 1.1; the numbers below are that
/// table's rows. Deviations are the hardenings of section 9: wider DIDs, bounded text, blank or negative values that consumers
/// refuse (item 27), delegation only in the canonical lane (item 6).
/// </summary>
public static class GrantRules
{
    /// <param name="request">As it arrived.</param>
    /// <param name="lane">The lane of the endpoint that was called.</param>
    /// <param name="policy">The policy in force.</param>
    /// <param name="settings">Legacy mode and sensitive prefixes.</param>
    /// <exception cref="Refusal">The first row that fails.</exception>
    public static TokenGrant Check(TokenRequest request, TokenLane lane, ScopePolicy policy, GrantSettings settings)
    {
        FieldRules.RequireText(request.Tier, "tier", TokenLimits.MaxTierLength);
        var tier = policy.FindTier(request.Tier);
        var sub = RequireSub(request.Sub); // 1
        var audience = RequireAudience(request.Audience); // 2
        tier.RequireSize(request.Scope); // 3-5
        var ttl = PositiveSeconds(request.TtlSeconds, Reason.InvalidTtl, "ttl_sec"); // 6
        var expiresAt = PositiveSeconds(request.ExpiresAt, Reason.InvalidExp, "exp"); // 7
        var scope = PolicyTier.Normalise(request.Scope!); // 8
        FieldRules.RequireNoBlank(request.OwnerRef, "owner_ref", TokenLimits.MaxOwnerRefLength, Reason.OwnerRefInvalid);
        var ownerDid = FieldRules.OptionalDid(request.OwnerDid, "owner_did", Reason.OwnerDidInvalid); // 9
        var controllerDid = FieldRules.OptionalDid(request.ControllerDid, "controller_did", Reason.ControllerDidInvalid); // 10
        var agentDid = FieldRules.OptionalDid(request.AgentDid, "agent_did", Reason.AgentDidInvalid); // 11
        if (request.Lane is not null && !TokenLanes.TryParse(request.Lane, out _)) // 12
            throw Refusal.OfField(Reason.TokenLaneInvalid, "token_lane");
        var policyHash = FieldRules.OptionalHash(request.PolicyHash, "policy_hash_b64u", Reason.PolicyHashInvalid); // 13
        var controlHash = FieldRules.OptionalHash(
            request.ControlPlanePolicyHash, "control_plane_policy_hash_b64u", Reason.ControlPolicyHashInvalid); // 14
        var paymentDid = FieldRules.OptionalDid(
            request.PaymentAccountDid, "payment_account_did", Reason.PaymentAccountClaimInvalid); // 15
        if (request.SpendCap is { } cap && !(double.IsFinite(cap) && cap >= 0))
            throw Refusal.OfField(Reason.SpendCapInvalid, "spend_cap");
        FieldRules.RequireNoBlank(request.MissionId, "mission_id", TokenLimits.MaxMissionIdLength, Reason.MissionIdInvalid);
        var delegation = DelegationRules.Check(request, lane, sub, ownerDid); // 16-19
        var decision = policy.DecideIn(tier, scope, audience); // 20

        var sensitive = scope.Where(settings.IsSensitive).Distinct(StringComparer.Ordinal).ToArray();
        if (lane == TokenLane.Legacy) RequireLegacyAllowed(settings.LegacyExchangeMode, sensitive);
        else agentDid = RequireChain(sub, ownerDid, controllerDid, agentDid);

        return new TokenGrant
        {
            Lane = lane,
            Policy = decision,
            Sub = sub,
            Audience = audience,
            Scope = scope,
            SensitiveScopes = sensitive,
            TtlSeconds = ttl,
            ExpiresAt = expiresAt,
            OwnerRef = request.OwnerRef,
            OwnerDid = ownerDid,
            ControllerDid = controllerDid,
            AgentDid = agentDid,
            PolicyHash = policyHash,
            ControlPlanePolicyHash = controlHash,
            PaymentAccountDid = paymentDid,
            SpendCap = request.SpendCap,
            MissionId = request.MissionId,
            Delegation = delegation,
        };
    }

    private static string RequireSub(string? text)
    {
        var sub = JsText.Trim(text ?? "");
        if (sub.Length == 0) throw Refusal.OfField(Reason.InvalidRequest, "sub", "sub is required");
        FieldRules.RequireText(sub, "sub", TokenLimits.MaxSubjectLength);
        return sub;
    }

    private static Audience RequireAudience(Audience? audience)
    {
        if (audience is not { Values.Count: > 0 } || audience.Values.Any(value => JsText.IsBlank(value)))
            throw Refusal.OfField(Reason.InvalidRequest, "aud", "aud is required");
        if (audience.Values.Count > TokenLimits.MaxAudiences
            || audience.Values.Any(value => value.Length > TokenLimits.MaxAudienceLength))
            throw Refusal.OfField(Reason.AudienceTooLarge, "aud");
        foreach (var value in audience.Values) StorableText.Require(value, "aud");
        return audience;
    }

    private static long? PositiveSeconds(double? value, Reason reason, string field)
    {
        if (value is not { } seconds) return null;
        // NaN is not positive either; infinity cannot be, JSON has none.
        return seconds > 0 && double.IsFinite(seconds)
            ? (long)Math.Min(Math.Floor(seconds), TokenLimits.MaxEpochSeconds)
            : throw Refusal.OfField(reason, field);
    }

    private static void RequireLegacyAllowed(LegacyExchangeMode mode, string[] sensitive)
    {
        if (mode == LegacyExchangeMode.Disabled)
            throw new Refusal(Reason.LegacyExchangeDisabled, metadata: new Dictionary<string, string> { ["rule"] = "legacy_exchange_mode" });
        if (mode == LegacyExchangeMode.Migration && sensitive.Length > 0)
        {
            var scopes = string.Join(", ", sensitive);
            throw new Refusal(
                Reason.LegacySensitiveScopeForbidden,
                $"Legacy issuance cannot mint sensitive scope(s) during migration: {scopes}",
                new Dictionary<string, string> { ["scopes"] = scopes, ["rule"] = "sensitive_scope_prefixes" });
        }
    }

    /// <summary>Canonical lane, steps 1 and 2; the chain itself is looked up by the issuer.</summary>
    private static Did RequireChain(string sub, Did? ownerDid, Did? controllerDid, Did? agentDid)
    {
        if (agentDid is { } agent && agent.ToString() != sub) throw new Refusal(Reason.CanonicalAgentSubMismatch);
        if (ownerDid is null || controllerDid is null) throw new Refusal(Reason.CanonicalChainRequired);
        // The subject becomes the agent, so here, and only here, it must be a DID.
        return Did.TryParse(sub, out var subject) ? subject : throw Refusal.OfField(Reason.AgentDidInvalid, "agent_did");
    }
}
