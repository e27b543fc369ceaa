namespace ClawBureau.Tokens.Tests;

/// <summary>The tables of contract 1.1.</summary>
public sealed class GrantRulesTests
{
    private static readonly ScopePolicy Policy = ScopePolicy.ParseDocument(
        """{"tiers":{"default":{"allowed_scope_prefixes":["proxy:","control:"]},"short":{"allow_any":true,"max_ttl_seconds":120}}}""");

    private static readonly TokenRequest Plain = new()
    {
        Sub = " did:key:zAgent\n",
        Audience = Audience.Of("staging.clawproxy.com"),
        Scope = [" proxy:call ", "  ", "proxy:call"],
        MissionId = "agent:main:dm:whatsapp:+15551234567",
    };

    private static readonly TokenRequest Canonical = Plain with
    {
        OwnerDid = "did:key:zOwner",
        ControllerDid = " did:web:host:controller ",
        Lane = "canonical",
    };

    private static readonly TokenRequest Delegated = Canonical with
    {
        DelegationId = "d",
        DelegatorDid = "did:key:zOwner",
        DelegateDid = "did:key:zAgent",
        DelegationSpendCapMinor = "0100",
    };

    // One row per rule, in the contract's order; each breaks its rule and, where it can, a later one too.
    public static TheoryData<string, TokenRequest, Reason, string?> LegacyRefusals => new()
    {
        { "tier", Plain with { Tier = "none", Sub = "" }, Reason.PolicyTierUnknown, null },
        { "tier length", Plain with { Tier = new string('t', 65) }, Reason.FieldTooLong, "tier must have <= 64 chars" },
        { "1", Plain with { Sub = null, Audience = null }, Reason.InvalidRequest, "sub is required" },
        { "1 blank", Plain with { Sub = "\uFEFF " }, Reason.InvalidRequest, "sub is required" },
        { "1 long", Plain with { Sub = new string('s', 513) }, Reason.FieldTooLong, "sub must have <= 512 chars" },
        { "1 text", Plain with { Sub = "a\0b" }, Reason.TextNotStorable, "sub holds U+0000 or half of a surrogate pair" },
        { "2", Plain with { Audience = null, Scope = null }, Reason.InvalidRequest, "aud is required" },
        { "2 empty", Plain with { Audience = Audience.Of("") }, Reason.InvalidRequest, "aud is required" },
        { "2 none", Plain with { Audience = Audience.Of([]) }, Reason.InvalidRequest, "aud is required" },
        { "2 blank", Plain with { Audience = Audience.Of(["a", " "]) }, Reason.InvalidRequest, "aud is required" },
        { "2 many", Plain with { Audience = Audience.Of(Enumerable.Repeat("a", 17)) }, Reason.AudienceTooLarge, null },
        { "2 long", Plain with { Audience = Audience.Of(new string('a', 513)) }, Reason.AudienceTooLarge, null },
        { "2 text", Plain with { Audience = Audience.Of("\ud800") }, Reason.TextNotStorable, "aud holds U+0000 or half of a surrogate pair" },
        { "3", Plain with { Scope = null, TtlSeconds = -1 }, Reason.InvalidRequest, "scope must be a non-empty array of strings" },
        { "3 none", Plain with { Scope = [] }, Reason.InvalidRequest, "scope must be a non-empty array of strings" },
        { "4", Plain with { Scope = [.. Enumerable.Repeat("", 65)] }, Reason.ScopeTooLarge, "scope must have <= 64 items" },
        { "5", Plain with { Scope = [new string('x', 129)], TtlSeconds = 0 }, Reason.ScopeItemTooLong, "scope entries must be <= 128 chars" },
        { "5 empty", Plain with { Scope = [""] }, Reason.ScopeItemTooLong, "scope entries must be <= 128 chars" },
        { "6", Plain with { TtlSeconds = 0, ExpiresAt = 0 }, Reason.InvalidTtl, null },
        { "6 not finite", Plain with { TtlSeconds = double.NaN }, Reason.InvalidTtl, null },
        { "7", Plain with { ExpiresAt = -1, Scope = [" "] }, Reason.InvalidExp, null },
        { "8", Plain with { Scope = [" "], OwnerRef = "" }, Reason.InvalidRequest, "scope must contain at least one non-empty string" },
        { "owner_ref", Plain with { OwnerRef = "", OwnerDid = "x" }, Reason.OwnerRefInvalid, null },
        { "owner_ref long", Plain with { OwnerRef = new string('o', 513) }, Reason.FieldTooLong, "owner_ref must have <= 512 chars" },
        { "9", Plain with { OwnerDid = "x", ControllerDid = "x" }, Reason.OwnerDidInvalid, null },
        { "10", Plain with { ControllerDid = "x", AgentDid = "x" }, Reason.ControllerDidInvalid, null },
        { "11", Plain with { AgentDid = "x", Lane = "x" }, Reason.AgentDidInvalid, null },
        { "12", Plain with { Lane = "Canonical", PolicyHash = "x" }, Reason.TokenLaneInvalid, null },
        { "13", Plain with { PolicyHash = "x", ControlPlanePolicyHash = "x" }, Reason.PolicyHashInvalid, null },
        { "14", Plain with { ControlPlanePolicyHash = "x", PaymentAccountDid = "x" }, Reason.ControlPolicyHashInvalid, null },
        { "15", Plain with { PaymentAccountDid = "x", SpendCap = -1 }, Reason.PaymentAccountClaimInvalid, null },
        { "spend_cap", Plain with { SpendCap = -0.01, MissionId = "" }, Reason.SpendCapInvalid, null },
        { "spend_cap not finite", Plain with { SpendCap = double.PositiveInfinity }, Reason.SpendCapInvalid, null },
        { "mission_id", Plain with { MissionId = " ", DelegatorDid = "x" }, Reason.MissionIdInvalid, null },
        { "mission_id text", Plain with { MissionId = "a\0b" }, Reason.TextNotStorable, "mission_id holds U+0000 or half of a surrogate pair" },
        { "16 id", Plain with { DelegationId = new string('d', 257) }, Reason.FieldTooLong, "delegation_id must have <= 256 chars" },
        { "16 delegator", Plain with { DelegatorDid = "x", DelegateDid = "x" }, Reason.DelegatorDidInvalid, null },
        { "16 delegate", Plain with { DelegateDid = "x", DelegationPolicyHash = "x" }, Reason.DelegateDidInvalid, null },
        { "16 hash", Plain with { DelegationPolicyHash = "x", DelegationSpendCapMinor = "x" }, Reason.DelegationPolicyHashInvalid, null },
        { "16 cap", Plain with { DelegationSpendCapMinor = "1.5", DelegateDid = "did:key:zOther" }, Reason.DelegationSpendCapInvalid, null },
        { "17", Plain with { DelegateDid = "did:key:zOther", DelegatorDid = "did:key:zA", OwnerDid = "did:key:zB" }, Reason.DelegateDidSubMismatch, null },
        { "18", Plain with { DelegatorDid = "did:key:zA", OwnerDid = "did:key:zB" }, Reason.DelegatorOwnerMismatch, null },
        { "19", Plain with { DelegationId = "d", Scope = ["x"] }, Reason.DelegationCanonicalRequired, null },
        { "19 on the legacy endpoint", Plain with { DelegationId = "d", Lane = "canonical" }, Reason.DelegationCanonicalRequired, null },
        { "20 wildcard", Plain with { Scope = ["other", "proxy:*"] }, Reason.ScopeWildcardNotAllowed, null },
        { "20", Plain with { Scope = ["other"] }, Reason.ScopeNotAllowed, "scope 'other' is not allowed for tier 'default'" },
        {
            "migration", Plain with { Scope = ["control:key:rotate", "proxy:call", "control:token:revoke"] }, Reason.LegacySensitiveScopeForbidden,
            "Legacy issuance cannot mint sensitive scope(s) during migration: control:key:rotate, control:token:revoke"
        },
    };

    [Theory, MemberData(nameof(LegacyRefusals))]
    public void The_first_rule_that_fails_answers(string rule, TokenRequest request, Reason reason, string? sentence)
    {
        var refusal = TestTokens.Refused(() => Legacy(request));
        Assert.True(reason == refusal.Reason, $"{rule}: {refusal.Reason}");
        Assert.Equal(sentence, refusal.Sentence);
    }

    [Fact]
    public void A_plain_request_becomes_claims()
    {
        var claims = Legacy(Plain).ToClaims(TestTokens.Now.AddMilliseconds(999), TestTokens.Jti, TestTokens.Nonce);
        Assert.Equal("did:key:zAgent", claims.Sub);
        Assert.Equal(["proxy:call", "proxy:call"], claims.Scope);
        Assert.Equal((1_795_194_899, 1_795_195_499), (claims.IssuedAt, claims.ExpiresAt));
        Assert.Equal(TokenLane.Legacy, claims.Lane);
        Assert.Equal(claims.ComputeScopeHash(), claims.TokenScopeHash);
        Assert.Null(claims.AgentDid);
        Assert.Null(claims.Delegation);
    }

    [Fact]
    public void The_legacy_endpoint_decides_its_lane() => Assert.Equal(TokenLane.Legacy, Legacy(Plain with { Lane = "canonical" }).Lane);

    [Theory]
    [InlineData(null, null, "default", 600L)]
    [InlineData(null, null, "short", 120L)]
    [InlineData(60.9, null, "default", 60L)]
    [InlineData(3600.0, null, "default", 3600L)]
    [InlineData(1.0, 1795194999.9, "default", 100L)] // exp wins
    public void Lifetimes_are_floored_and_default_to_ten_minutes(double? ttl, double? exp, string tier, long expected)
    {
        var grant = Legacy(Plain with { TtlSeconds = ttl, ExpiresAt = exp, Tier = tier });
        var claims = grant.ToClaims(TestTokens.Now, TestTokens.Jti, TestTokens.Nonce);
        Assert.Equal(expected, claims.ExpiresAt - claims.IssuedAt);
    }

    [Theory]
    [InlineData(0.5, null, Reason.TtlExpired, null)]
    [InlineData(null, 1795194899.9, Reason.TtlExpired, null)]
    [InlineData(null, 1.0, Reason.TtlExpired, null)]
    [InlineData(3601.0, null, Reason.TtlTooLong, "ttl exceeds max (3600s)")]
    [InlineData(null, 1795198500.0, Reason.TtlTooLong, "ttl exceeds max (3600s)")]
    [InlineData(1e300, null, Reason.TtlTooLong, "ttl exceeds max (3600s)")]
    public void Lifetimes_outside_the_tier_are_refused(double? ttl, double? exp, Reason reason, string? sentence)
    {
        var grant = Legacy(Plain with { TtlSeconds = ttl, ExpiresAt = exp });
        var refusal = TestTokens.Refused(() => grant.ToClaims(TestTokens.Now, TestTokens.Jti, TestTokens.Nonce));
        Assert.Equal((reason, sentence), (refusal.Reason, refusal.Sentence));
    }

    [Theory]
    [InlineData(null, 100, 100L, null)] // a lifetime nobody asked for is cut
    [InlineData(null, 700, 600L, null)]
    [InlineData(60.0, 100, 60L, null)]
    [InlineData(101.0, 100, 0L, Reason.DelegationExpiryExceeded)]
    [InlineData(null, 0, 0L, Reason.DelegationExpiryExceeded)]
    [InlineData(null, -5, 0L, Reason.DelegationExpiryExceeded)]
    public void A_token_never_outlives_its_delegation(double? ttl, int delegationEnds, long expected, Reason? reason)
    {
        var grant = GrantRules.Check(
            Delegated with { TtlSeconds = ttl, DelegationExpiresAt = TestTokens.Now.ToUnixTimeSeconds() + delegationEnds + 0.9 },
            TokenLane.Canonical, Policy, new GrantSettings());
        if (reason is null)
            Assert.Equal(expected, grant.ToClaims(TestTokens.Now, "j", "n").ExpiresAt - TestTokens.Now.ToUnixTimeSeconds());
        else
            Assert.Equal(reason, TestTokens.Refused(() => grant.ToClaims(TestTokens.Now, "j", "n")).Reason);
    }

    [Theory]
    [InlineData("enabled", null)]
    [InlineData("migration", Reason.LegacySensitiveScopeForbidden)]
    [InlineData("whatever", Reason.LegacySensitiveScopeForbidden)]
    [InlineData(null, Reason.LegacySensitiveScopeForbidden)]
    [InlineData("disabled", Reason.LegacyExchangeDisabled)]
    public void Sensitive_scopes_in_the_legacy_lane_depend_on_the_mode(string? mode, Reason? reason)
    {
        var settings = GrantSettings.Parse(name => name == "SCOPE_LEGACY_EXCHANGE_MODE" ? mode : null);
        var request = Plain with { Scope = ["control:key:rotate"] };
        if (reason is null) Assert.Equal(["control:key:rotate"], GrantRules.Check(request, TokenLane.Legacy, Policy, settings).SensitiveScopes);
        else Assert.Equal(reason, TestTokens.Refused(() => GrantRules.Check(request, TokenLane.Legacy, Policy, settings)).Reason);
    }

    [Fact]
    public void Sensitive_prefixes_are_configuration()
    {
        var settings = GrantSettings.Parse(name => name == "SCOPE_SENSITIVE_SCOPE_PREFIXES" ? "bank:, ,control:" : null);
        Assert.True(settings.IsSensitive("bank:pay"));
        Assert.True(settings.IsSensitive("control:x"));
        Assert.False(settings.IsSensitive("*"));
    }

    [Fact]
    public void The_canonical_lane_takes_the_subject_as_agent()
    {
        var grant = GrantRules.Check(Canonical with { Scope = ["control:key:rotate"] }, TokenLane.Canonical, Policy, new GrantSettings());
        Assert.Equal("did:key:zAgent", grant.AgentDid.ToString());
        Assert.Equal("did:web:host:controller", grant.ControllerDid.ToString());
        Assert.Equal(["control:key:rotate"], grant.SensitiveScopes);
        Assert.Equal(TokenLane.Canonical, grant.Lane);
    }

    public static TheoryData<TokenRequest, Reason> CanonicalRefusals => new()
    {
        { Canonical with { AgentDid = "did:key:zOther", OwnerDid = null }, Reason.CanonicalAgentSubMismatch },
        { Canonical with { OwnerDid = " " }, Reason.CanonicalChainRequired },
        { Canonical with { ControllerDid = null }, Reason.CanonicalChainRequired },
        { Canonical with { Sub = "not a did" }, Reason.AgentDidInvalid },
        { Delegated with { Lane = null }, Reason.DelegationCanonicalRequired },
        { Delegated with { Lane = "legacy" }, Reason.DelegationCanonicalRequired },
    };

    [Theory, MemberData(nameof(CanonicalRefusals))]
    public void The_canonical_lane_needs_its_chain(TokenRequest request, Reason reason) =>
        Assert.Equal(reason, TestTokens.Refused(() => GrantRules.Check(request, TokenLane.Canonical, Policy, new GrantSettings())).Reason);

    [Fact]
    public void Delegation_claims_reach_the_token()
    {
        var grant = GrantRules.Check(Delegated, TokenLane.Canonical, Policy, new GrantSettings());
        var claims = grant.ToClaims(TestTokens.Now, TestTokens.Jti, TestTokens.Nonce);
        Assert.Equal(("d", "0100", null), (claims.Delegation!.Id, claims.Delegation.SpendCapMinor, claims.Delegation.ExpiresAt));
        using var key = TestTokens.Key();
        Assert.Equal(claims.Delegation, TestTokens.Verify(TokenSigner.Sign(claims, key).Compact, key).Claims.Delegation);
    }

    [Fact]
    public void The_longest_grant_the_rules_allow_reads_back_or_is_refused_whole()
    {
        var request = Plain with
        {
            Scope = [.. Enumerable.Range(0, 64).Select(index => $"proxy:{index}".PadRight(128, 'x'))],
            Audience = Audience.Of(Enumerable.Range(0, 2).Select(index => $"{index}".PadRight(512, 'a'))),
            MissionId = new string('m', 512),
        };
        using var key = TestTokens.Key();
        var signed = TokenSigner.Sign(Legacy(request).ToClaims(TestTokens.Now, TestTokens.Jti, TestTokens.Nonce), key);
        TestTokens.Verify(signed.Compact, key);
    }

    private static TokenGrant Legacy(TokenRequest request) => GrantRules.Check(request, TokenLane.Legacy, Policy, new GrantSettings());
}
