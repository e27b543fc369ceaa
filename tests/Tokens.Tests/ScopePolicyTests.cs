namespace ClawBureau.Tokens.Tests;

public sealed class ScopePolicyTests
{
    private static readonly Audience Somebody = Audience.Of("a.example");

    [Fact]
    public void Knobs_make_one_tier_with_the_contracts_defaults()
    {
        var policy = ScopePolicy.Parse(_ => null);
        var tier = policy.FindTier(null);
        Assert.Equal(("1", "default"), (policy.Version, tier.Name));
        Assert.Equal(TimeSpan.FromSeconds(3600), tier.MaxTtl);
        Assert.Equal((64, 128, false, false), (tier.MaxScopeItems, tier.MaxScopeLength, tier.AllowWildcards, tier.AllowAny));
    }

    [Fact]
    public void Documents_override_knobs_member_by_member()
    {
        var policy = Parse(
            ("SCOPE_POLICY_VERSION", "7"), ("SCOPE_MAX_TTL_SECONDS", "900"), ("SCOPE_ALLOW_WILDCARDS", "Yes"),
            ("SCOPE_ALLOWED_SCOPE_PREFIXES", " proxy:, ,clawproxy:"), ("SCOPE_POLICY_TIER", "gold"),
            ("SCOPE_POLICY_JSON", """{"tiers":{"gold":{"max_ttl_seconds":60.9},"lead":{"allow_wildcards":false,"allowed_scopes":["x"]}}}"""));
        Assert.Equal("7", policy.Version);
        var gold = policy.FindTier(" ");
        Assert.Equal(TimeSpan.FromSeconds(60), gold.MaxTtl);
        Assert.True(gold.AllowWildcards);
        Assert.Equal(["proxy:", "clawproxy:"], gold.AllowedScopePrefixes);
        var lead = policy.FindTier("lead");
        Assert.Equal(TimeSpan.FromSeconds(900), lead.MaxTtl);
        Assert.False(lead.AllowWildcards);
        Assert.Equal(["x"], lead.AllowedScopes);
    }

    [Theory]
    [InlineData("gold ", null)]
    [InlineData("Gold", Reason.PolicyTierUnknown)]
    [InlineData("constructor", Reason.PolicyTierUnknown)]
    [InlineData("toString", Reason.PolicyTierUnknown)]
    [InlineData("", Reason.PolicyConfigInvalid)] // the default tier itself is missing
    public void An_unknown_tier_refuses(string name, Reason? reason)
    {
        var policy = Parse(("SCOPE_POLICY_JSON", """{"tiers":{"gold":{}}}"""));
        if (reason is null) Assert.Equal("gold", policy.FindTier(name).Name);
        else Assert.Equal(reason, TestTokens.Refused(() => policy.FindTier(name)).Reason);
    }

    [Theory]
    [InlineData("SCOPE_POLICY_JSON", "{")]
    [InlineData("SCOPE_POLICY_JSON", "[]")]
    [InlineData("SCOPE_POLICY_JSON", "{}")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":[]}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":5}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{" ":{}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{" a":{}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{},"a":{}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{}},"extra":1}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"version":5,"tiers":{"a":{}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{"max_ttl":5}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{"max_ttl_seconds":0}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{"max_ttl_seconds":"60"}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{"max_ttl_seconds":1e400}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{"allow_wildcards":"true"}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{"allowed_scopes":"x"}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{"allowed_scope_prefixes":[""]}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{"allowed_scope_prefixes":[5]}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{"max_scope_items":65}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{"max_scope_length":513}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{"default_ttl_seconds":0}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{"allowed_audiences":[]}}}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{}},"default_tier":" "}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{}},"legacy_exchange_mode":"on"}""")]
    [InlineData("SCOPE_POLICY_JSON", """{"tiers":{"a":{}},"sensitive_scope_prefixes":[]}""")]
    [InlineData("SCOPE_POLICY_VERSION", "12345678901234567890123456789012345678901234567890123456789012345")]
    [InlineData("SCOPE_ALLOWED_AUDIENCES", " , ")]
    [InlineData("SCOPE_MAX_TTL_SECONDS", "1h")]
    [InlineData("SCOPE_MAX_TTL_SECONDS", "0")]
    [InlineData("SCOPE_MAX_TTL_SECONDS", "-5")]
    [InlineData("SCOPE_ALLOW_WILDCARDS", "maybe")]
    [InlineData("SCOPE_ALLOW_ANY", "2")]
    [InlineData("SCOPE_MAX_SCOPE_ITEMS", "65")]
    public void A_configuration_that_cannot_be_read_refuses_and_names_the_rule(string name, string value)
    {
        var refusal = TestTokens.Refused(() => Parse((name, value)));
        Assert.Equal(Reason.PolicyConfigInvalid, refusal.Reason);
        Assert.NotEmpty(refusal.Metadata["rule"]);
    }

    [Fact]
    public void A_callers_document_is_refused_as_the_callers() =>
        Assert.Equal(Reason.PolicyInvalid, TestTokens.Refused(() => ScopePolicy.ParseDocument("""{"tiers":{"a":{"x":1}}}""")).Reason);

    [Theory]
    [InlineData("""{}""", "x", Reason.ScopeNotAllowed, "allow_any")] // an empty allowlist allows nothing
    [InlineData("""{"allow_any":true}""", "x", null, "allow_any")]
    [InlineData("""{"allow_any":true}""", "x:*", Reason.ScopeWildcardNotAllowed, "allow_wildcards")]
    [InlineData("""{"allow_any":true,"allow_wildcards":true}""", "x:*", null, "allow_any")]
    [InlineData("""{"allowed_scopes":["proxy:call"]}""", "proxy:call", null, "allowed_scopes[0]")]
    [InlineData("""{"allowed_scopes":["proxy:call"]}""", "proxy:call:openai", Reason.ScopeNotAllowed, "allowed_scopes")]
    [InlineData("""{"allowed_scopes":["proxy:call"],"allow_any":true}""", "x", Reason.ScopeNotAllowed, "allowed_scopes")]
    [InlineData("""{"allowed_scopes":["proxy:call"],"allowed_scope_prefixes":["x"]}""", "x", Reason.ScopeNotAllowed, "allowed_scopes")]
    [InlineData("""{"allowed_scopes":["proxy:call"],"allow_wildcards":true}""", "proxy:*", Reason.ScopeNotAllowed, "allowed_scopes")]
    [InlineData("""{"allowed_scope_prefixes":["proxy:"]}""", "proxy:call", null, "allowed_scope_prefixes[0]")]
    [InlineData("""{"allowed_scope_prefixes":["clawproxy:","proxy:"]}""", "proxy:call", null, "allowed_scope_prefixes[1]")]
    [InlineData("""{"allowed_scopes":["proxy:call","*"],"allow_wildcards":true}""", "*", null, "allowed_scopes[1]")]
    [InlineData("""{"allow_any":true,"allow_wildcards":true}""", "*", Reason.ScopeNotAllowed, "allow_any")]
    [InlineData("""{"allow_any":true,"allow_wildcards":true}""", "con*", Reason.ScopeNotAllowed, "allow_any")]
    [InlineData("""{"allow_any":true,"allow_wildcards":true}""", "co*:token:revoke", Reason.ScopeNotAllowed, "allow_any")]
    [InlineData("""{"allowed_scope_prefixes":["*"],"allow_wildcards":true}""", "*", Reason.ScopeNotAllowed, "allowed_scope_prefixes")]
    [InlineData("""{"allowed_scope_prefixes":["c"],"allow_wildcards":true}""", "c*", Reason.ScopeNotAllowed, "allowed_scope_prefixes")]
    [InlineData("""{"allowed_scope_prefixes":["c"]}""", "control:token:revoke", Reason.ScopeNotAllowed, "allowed_scope_prefixes")]
    [InlineData("""{"allowed_scope_prefixes":["proxy"]}""", "proxy2:call", Reason.ScopeNotAllowed, "allowed_scope_prefixes")]
    [InlineData("""{"allowed_scope_prefixes":["proxy"]}""", "proxy:call", null, "allowed_scope_prefixes[0]")]
    [InlineData("""{"allowed_scope_prefixes":["read"]}""", "readonly", null, "allowed_scope_prefixes[0]")]
    [InlineData("""{"allowed_scope_prefixes":["proxy:"]}""", "Proxy:call", Reason.ScopeNotAllowed, "allowed_scope_prefixes")]
    [InlineData("""{"allowed_scope_prefixes":["proxy:"],"allow_any":true}""", "control:x", Reason.ScopeNotAllowed, "allowed_scope_prefixes")]
    [InlineData("""{"allowed_scope_prefixes":["proxy:"],"allow_wildcards":true}""", "proxy:*", null, "allowed_scope_prefixes[0]")]
    [InlineData("""{"allowed_scope_prefixes":["proxy:"],"allow_wildcards":true}""", "control:*", Reason.ScopeNotAllowed, "allowed_scope_prefixes")]
    [InlineData("""{"allowed_scope_prefixes":["proxy:"],"allow_wildcards":true}""", "*", Reason.ScopeNotAllowed, "allowed_scope_prefixes")]
    [InlineData("""{"allowed_scope_prefixes":["control:token:"],"allow_wildcards":true}""", "control:*", Reason.ScopeNotAllowed, "allowed_scope_prefixes")]
    public void The_rule_that_decides_is_named(string tier, string scope, Reason? reason, string rule)
    {
        var policy = Tier(tier);
        if (reason is null)
        {
            var decision = policy.Decide(null, [scope], Somebody);
            Assert.Equal([new ScopeRuling(scope, rule)], decision.Rulings);
            Assert.Equal(("1", "default"), (decision.PolicyVersion, decision.Tier.Name));
            return;
        }
        var refusal = TestTokens.Refused(() => policy.Decide(null, [scope], Somebody));
        Assert.Equal((reason.Value, rule, scope), (refusal.Reason, refusal.Metadata["rule"], refusal.Metadata["value"]));
    }

    [Fact]
    public void A_refused_scope_is_told_in_the_contracts_words() => Assert.Equal(
        "scope 'x' is not allowed for tier 'default'",
        TestTokens.Refused(() => Tier("{}").Decide(null, ["x"], Somebody)).Sentence);

    [Theory]
    [InlineData("""{"allow_any":true}""", null)]
    [InlineData("""{"allow_any":true,"allowed_audiences":["a.example","b.example"]}""", null)]
    [InlineData("""{"allow_any":true,"allowed_audiences":["a.example"]}""", Reason.AudienceNotAllowed)]
    public void Every_audience_must_be_allowed(string tier, Reason? reason)
    {
        var audience = Audience.Of(["a.example", "b.example"]);
        if (reason is null) Tier(tier).Decide(null, ["x"], audience);
        else Assert.Equal(reason, TestTokens.Refused(() => Tier(tier).Decide(null, ["x"], audience)).Reason);
    }

    [Theory]
    [InlineData(2, 5, new string[0], Reason.InvalidRequest)]
    [InlineData(2, 5, new[] { "a", "b", "c" }, Reason.ScopeTooLarge)]
    [InlineData(2, 5, new[] { "123456" }, Reason.ScopeItemTooLong)]
    [InlineData(2, 5, new[] { "a", "" }, Reason.ScopeItemTooLong)]
    [InlineData(2, 5, new[] { "a\0" }, Reason.TextNotStorable)]
    [InlineData(2, 5, new[] { " " }, Reason.InvalidRequest)]
    public void Sizes_are_the_tiers(int items, int length, string[] scope, Reason reason)
    {
        var policy = Tier($$"""{"allow_any":true,"max_scope_items":{{items}},"max_scope_length":{{length}}}""");
        Assert.Equal(reason, TestTokens.Refused(() => policy.Decide(null, scope, Somebody)).Reason);
    }

    [Fact]
    public void A_policy_reads_back_from_its_document()
    {
        var policy = Tier("""{"max_ttl_seconds":60,"allowed_scope_prefixes":["proxy:"],"allowed_audiences":["a"],"max_scope_items":3}""");
        var document = policy.ToDocument();
        Assert.Equal(document, ScopePolicy.ParseDocument(document).ToDocument());
        Assert.Equal(
            """{"default_tier":"default","legacy_exchange_mode":"migration","sensitive_scope_prefixes":["control:"],"tiers":{"default":{"allow_any":false,"""
            + """ "allow_wildcards":false,"allowed_audiences":["a"],"allowed_scope_prefixes":["proxy:"],"allowed_scopes":[],"default_ttl_seconds":600,"""[1..]
            + "\"max_scope_items\":3,\"max_scope_length\":128,\"max_ttl_seconds\":60}},\"version\":\"1\"}",
            document);
        Assert.Equal(System.Text.Encoding.UTF8.GetString(CanonicalJson.Of(System.Text.Encoding.UTF8.GetBytes(document))), document);
    }

    [Fact]
    public void A_document_decides_the_lane_too_whatever_this_process_is_configured_with()
    {
        var policy = ScopePolicy.ParseDocument(
            """{"version":"v2","default_tier":"gold","legacy_exchange_mode":"disabled","sensitive_scope_prefixes":["bank:"],"tiers":{"gold":{"allow_any":true}}}""");
        Assert.Equal(("v2", "gold", LegacyExchangeMode.Disabled), (policy.Version, policy.FindTier("").Name, policy.Grants.LegacyExchangeMode));
        Assert.True(policy.Grants.IsSensitive("bank:pay"));
        Assert.Equal(policy.ToDocument(), ScopePolicy.ParseDocument(policy.ToDocument()).ToDocument());

        var configured = Parse(("SCOPE_LEGACY_EXCHANGE_MODE", "enabled"), ("SCOPE_POLICY_JSON", """{"tiers":{"default":{}},"sensitive_scope_prefixes":["bank:"]}"""));
        Assert.Equal((LegacyExchangeMode.Enabled, false), (configured.Grants.LegacyExchangeMode, configured.Grants.IsSensitive("control:x")));
    }

    [Theory]
    [InlineData("""{"tiers":{"gold":{}}}""")]
    [InlineData("""{"tiers":{"gold":{}},"default_tier":"silver"}""")]
    public void A_document_whose_default_tier_is_missing_is_refused(string document) =>
        Assert.Equal("default_tier", TestTokens.Refused(() => ScopePolicy.ParseDocument(document)).Metadata["rule"]);

    [Theory]
    [InlineData("""{"allow_any":true,"default_ttl_seconds":30}""", 30)]
    [InlineData("""{"allow_any":true}""", 600)]
    [InlineData("""{"allow_any":true,"max_ttl_seconds":20,"default_ttl_seconds":30}""", 20)]
    public void A_request_without_a_lifetime_gets_the_tiers(string tier, long seconds)
    {
        var policy = Tier(tier);
        var grant = GrantRules.Check(new TokenRequest { Sub = "s", Audience = Somebody, Scope = ["x"] }, TokenLane.Legacy, policy, policy.Grants);
        Assert.Equal(1_000 + seconds, grant.ExpiryFrom(1_000));
    }

    [Theory]
    [InlineData("control:token:revoke", "control:token:revoke", true)]
    [InlineData("control:*", "control:token:revoke", true)]
    [InlineData("control:*", "controller:x", false)]
    [InlineData("control:*", "control", false)]
    [InlineData("control:*", "proxy:call", false)]
    [InlineData("control:*", "clawproxy:call", false)]
    [InlineData("proxy:*", "control:token:revoke", false)]
    [InlineData("clawproxy:*", "control:audit:read", false)]
    [InlineData("*", "control:token:revoke", false)]
    [InlineData("*", "proxy:call", false)]
    [InlineData("*", "*", true)]
    [InlineData(":*", "control:x", false)]
    [InlineData("cont*", "control:x", false)]
    [InlineData("control:token:*", "control:token:revoke", false)]
    [InlineData("Control:*", "control:x", false)]
    public void No_wildcard_crosses_families(string held, string required, bool satisfied)
    {
        Assert.Equal(satisfied, ScopeRule.Satisfies(held, required));
        Assert.Equal(satisfied, ScopeRule.SatisfiesAny(["other", held], required));
    }

    private static ScopePolicy Tier(string tier) => ScopePolicy.ParseDocument($$$"""{"tiers":{"default":{{{tier}}}}}""");

    private static ScopePolicy Parse(params (string Name, string Value)[] variables) =>
        ScopePolicy.Parse(name => variables.FirstOrDefault(variable => variable.Name == name).Value);
}
