namespace ClawBureau.Tokens.Tests;

/// <summary>Contract 5.1 rows 5 and 6, and 5.2.</summary>
public sealed class ClaimShapeTests
{
    [Theory]
    [InlineData("""{"token_version":"2"}""")]
    [InlineData("""{"token_version":1}""")]
    [InlineData("""{"token_version":null}""")]
    [InlineData("""{"token_version":""}""")]
    [InlineData("""{"token_version":["1"]}""")]
    [InlineData("""{"sub":5,"token_version":"01"}""")]
    public void Another_version_is_unknown_whatever_else_is_wrong(string payload) => AssertRefused(payload, Reason.TokenUnknownVersion);

    [Theory]
    [InlineData("{}")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("\"text\"")]
    [InlineData("""{"sub":"s","aud":"a","scope":["x"],"iat":1795194899,"exp":1795195499}""")] // no version
    [InlineData("""{"token_version":"1","aud":"a","scope":["x"],"iat":1795194899,"exp":1795195499}""")]
    [InlineData("""{"token_version":"1","sub":"s","scope":["x"],"iat":1795194899,"exp":1795195499}""")]
    [InlineData("""{"token_version":"1","sub":"s","aud":"a","iat":1795194899,"exp":1795195499}""")]
    [InlineData("""{"token_version":"1","sub":"s","aud":"a","scope":["x"],"exp":1795195499}""")]
    [InlineData("""{"token_version":"1","sub":"s","aud":"a","scope":["x"],"iat":1795194899}""")]
    public void A_payload_without_a_required_claim_is_invalid(string payload) => AssertRefused(payload, Reason.TokenInvalidClaims);

    [Theory]
    [InlineData("sub", "\"\"")]
    [InlineData("sub", "\" \\ufeff\"")]
    [InlineData("sub", "5")]
    [InlineData("sub", "null")]
    [InlineData("sub", "\"a\\u0000b\"")]
    [InlineData("aud", "\"\"")]
    [InlineData("aud", "[]")]
    [InlineData("aud", "[\"\"]")]
    [InlineData("aud", "[\"a\",5]")]
    [InlineData("aud", "{}")]
    [InlineData("scope", "[]")]
    [InlineData("scope", "\"x\"")]
    [InlineData("scope", "[5]")]
    [InlineData("scope", "[[\"x\"]]")]
    [InlineData("iat", "\"1795194899\"")]
    [InlineData("iat", "1795194899.5")]
    [InlineData("iat", "-1")]
    [InlineData("exp", "1795195499.0")]
    [InlineData("exp", "1.795195499e9")]
    [InlineData("exp", "1e400")]
    [InlineData("exp", "9007199254740993")]
    [InlineData("exp", "99999999999999999999")]
    [InlineData("exp", "null")]
    [InlineData("exp", "true")]
    public void A_required_claim_of_another_shape_is_invalid(string name, string value)
    {
        var members = new Dictionary<string, string>
        {
            ["token_version"] = "\"1\"",
            ["sub"] = "\"s\"",
            ["aud"] = "\"a\"",
            ["scope"] = "[\"x\"]",
            ["iat"] = "1795194899",
            ["exp"] = "1795195499",
            [name] = value,
        };
        AssertRefused($"{{{string.Join(',', members.Select(member => $"\"{member.Key}\":{member.Value}"))}}}", Reason.TokenInvalidClaims);
    }

    [Theory]
    [InlineData("owner_ref", "5")]
    [InlineData("owner_ref", "null")]
    [InlineData("owner_did", "\"did:Key:z\"")]
    [InlineData("owner_did", "\"\"")]
    [InlineData("controller_did", "\"not a did\"")]
    [InlineData("agent_did", "{}")]
    [InlineData("policy_hash_b64u", "\"short\"")]
    [InlineData("control_plane_policy_hash_b64u", "7")]
    [InlineData("token_scope_hash_b64u", "\"short\"")]
    [InlineData("token_scope_hash_b64u", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"")] // unused bits set
    [InlineData("payment_account_did", "[]")]
    [InlineData("spend_cap", "\"1\"")]
    [InlineData("spend_cap", "-1")]
    [InlineData("spend_cap", "1e400")]
    [InlineData("mission_id", "{\"a\":1}")]
    [InlineData("mission_id", "\"a\\u0000b\"")]
    [InlineData("delegation_id", "1")]
    [InlineData("delegator_did", "\"x\"")]
    [InlineData("delegate_did", "null")]
    [InlineData("delegation_policy_hash_b64u", "\"x\"")]
    [InlineData("delegation_spend_cap_minor", "100")]
    [InlineData("delegation_spend_cap_minor", "\"-1\"")]
    [InlineData("delegation_spend_cap_minor", "\"١\"")]
    [InlineData("delegation_expires_at", "1.5")]
    [InlineData("token_lane", "\"Legacy\"")]
    [InlineData("token_lane", "null")]
    [InlineData("jti", "5")]
    [InlineData("nonce", "[]")]
    public void An_optional_claim_of_another_shape_is_invalid(string name, string value) =>
        AssertRefused(TestTokens.Payload($",\"{name}\":{value}"), Reason.TokenInvalidClaims);

    [Fact]
    public void More_scopes_than_a_token_may_have_are_invalid()
    {
        string WithScopes(int count) => TestTokens.Payload()
            .Replace("[\"x\"]", $"[{string.Join(',', Enumerable.Repeat("\"x\"", count))}]", StringComparison.Ordinal);
        Assert.Equal(64, Verify(WithScopes(64)).Claims.Scope.Count);
        AssertRefused(WithScopes(65), Reason.TokenInvalidClaims);
    }

    [Theory]
    [InlineData(",\"owner_did\":\"did:web:host:path\"")]
    [InlineData(",\"owner_ref\":\"\",\"mission_id\":\"\"")]
    [InlineData(",\"spend_cap\":0")]
    [InlineData(",\"iss\":\"x\",\"nbf\":5,\"nested\":{\"a\":[{\"b\":null}]}")]
    [InlineData(",\"policy_hash_b64u\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"")]
    public void What_other_issuers_may_write_is_read(string more) => Verify(TestTokens.Payload(more));

    [Fact]
    public void Claims_are_read_in_any_order_and_however_they_are_escaped()
    {
        var claims = Verify("""{"exp":1795195499,"iat":1795194899,"scope":["\u0078"],"\u0061ud":["a"],"jti":"j","sub":"\ud83d\ude00","token_version":"1"}""").Claims;
        Assert.Equal("😀", claims.Sub);
        Assert.Equal(["x"], claims.Scope);
        Assert.Equal(Audience.Of(["a"]), claims.Audience);
        Assert.Null(claims.Lane);
        Assert.Null(claims.Delegation);
    }

    [Fact]
    public void Rows_of_the_contract_answer_in_its_order()
    {
        using var key = TestTokens.Key();
        using var other = TestTokens.Key(11);
        var header = TestTokens.Header(key);
        const string expired = """{"token_version":"1","sub":"s","aud":"a","scope":["x"],"iat":1,"exp":2}""";
        const string unknownKid = """{"alg":"EdDSA","kid":"0000000000000000"}""";
        Assert.Equal(Reason.TokenUnsupportedAlg, Refused("""{"alg":"none"}""", "no JSON"));
        Assert.Equal(Reason.TokenMalformed, Refused(header, "no JSON"));
        Assert.Equal(Reason.TokenUnknownVersion, Refused(header, """{"token_version":"9","exp":"x"}"""));
        Assert.Equal(Reason.TokenInvalidClaims, Refused(header, """{"token_version":"1","exp":1}"""));
        Assert.Equal(Reason.TokenExpired, Refused(unknownKid, expired));
        Assert.Equal(Reason.TokenUnknownKid, Refused(unknownKid, TestTokens.Payload()));
        Assert.Equal(Reason.TokenSignatureInvalid, Refused(header, TestTokens.Payload()));

        Reason Refused(string head, string payload) =>
            TestTokens.Refused(() => TestTokens.Verify(TestTokens.Compact(head, payload, other), key)).Reason;
    }

    private static VerifiedToken Verify(string payload)
    {
        using var key = TestTokens.Key();
        return TestTokens.Verify(TestTokens.Compact(TestTokens.Header(key), payload, key), key);
    }

    private static void AssertRefused(string payload, Reason reason) =>
        Assert.Equal(reason, TestTokens.Refused(() => Verify(payload)).Reason);
}
