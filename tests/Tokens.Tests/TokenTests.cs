using System.Text;

namespace ClawBureau.Tokens.Tests;

public sealed class TokenTests
{
    [Fact]
    public void Header_and_payload_are_the_contracts_to_the_byte()
    {
        using var key = TestTokens.Key();
        var claims = Full();
        var signed = TokenSigner.Sign(claims with { TokenScopeHash = claims.ComputeScopeHash() }, key);
        var parts = signed.Compact.Split('.');
        Assert.Equal("""{"alg":"EdDSA","typ":"JWT","kid":"9f5ef94aaeb7425d"}""", Decoded(parts[0]));
        Assert.Equal(
            """{"token_version":"1","sub":"did:key:zAgent","aud":["a.example","b.example"],"scope":["proxy:call","proxy:call"],"iat":1795194899,"exp":1795195499,"""
            + """ "owner_ref":"é/<","owner_did":"did:key:zOwner","controller_did":"did:web:host:path","agent_did":"did:key:zAgent","policy_hash_b64u":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","""[1..]
            + $""" "control_plane_policy_hash_b64u":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","token_scope_hash_b64u":"{claims.ComputeScopeHash()}","payment_account_did":"did:key:zPay","spend_cap":1e-7,"""[1..]
            + """ "mission_id":"m\n","delegation_id":"d","delegator_did":"did:key:zOwner","delegate_did":"did:key:zAgent","delegation_policy_hash_b64u":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","""[1..]
            + $$""" "delegation_spend_cap_minor":"0100","delegation_expires_at":1800000000,"token_lane":"canonical","jti":"{{TestTokens.Jti}}","nonce":"{{TestTokens.Nonce}}"}"""[1..],
            Decoded(parts[1]));
        Assert.Equal(TokenHash.Of(signed.Compact), signed.TokenHash);
        Assert.Equal(64, Base64UrlText.DecodedLength(parts[2].Length));
    }

    [Fact]
    public void What_was_signed_reads_back_the_same()
    {
        using var key = TestTokens.Key();
        var claims = Full();
        claims = claims with { TokenScopeHash = claims.ComputeScopeHash() };
        var signed = TokenSigner.Sign(claims, key);
        var verified = TestTokens.Verify(signed.Compact, key);
        Assert.Equal(signed.TokenHash, verified.TokenHash);
        Assert.Equal(KidSource.Header, verified.KidSource);
        Assert.Equal(claims.Scope, verified.Claims.Scope);
        Assert.Equal(claims with { Scope = [] }, verified.Claims with { Scope = [] });
        Assert.Equal(claims.TokenScopeHash, verified.Claims.ComputeScopeHash());
        Assert.Equal(signed.PayloadBytes.ToArray(), verified.Claims.ToPayload());
    }

    [Fact]
    public void A_string_audience_stays_a_string()
    {
        using var key = TestTokens.Key();
        var signed = TokenSigner.Sign(TestTokens.Claims(), key);
        Assert.Contains("\"aud\":\"staging.clawproxy.com\"", Encoding.UTF8.GetString(signed.PayloadBytes.Span), StringComparison.Ordinal);
        Assert.Equal(Audience.Of("staging.clawproxy.com"), TestTokens.Verify(signed.Compact, key).Claims.Audience);
    }

    [Theory]
    [InlineData(TokenAlgorithm.EdDsa)]
    [InlineData(TokenAlgorithm.Ed25519)]
    public void A_retry_is_answered_with_the_identical_token(TokenAlgorithm algorithm)
    {
        using var key = TestTokens.Key();
        var first = TokenSigner.Sign(TestTokens.Claims(), key, algorithm);
        var fromPayload = TokenSigner.SignPayload(first.PayloadBytes.Span, key, algorithm);
        var fromInput = TokenSigner.Resign(first.SigningInput.Span, key);
        Assert.Equal(first.Compact, fromPayload.Compact);
        Assert.Equal(first.Compact, fromInput.Compact);
        Assert.Equal(first.PayloadBytes.ToArray(), fromInput.PayloadBytes.ToArray());
        Assert.Equal(first.Claims.Sub, fromInput.Claims.Sub);
        Assert.Equal(algorithm, TokenParser.Parse(first.Compact).Algorithm);
    }

    [Fact]
    public void A_token_is_not_signed_again_with_another_key()
    {
        using var key = TestTokens.Key(23);
        using var other = TestTokens.Key(11);
        var first = TokenSigner.Sign(TestTokens.Claims(), key);
        Assert.Throws<ArgumentException>(() => TokenSigner.Resign(first.SigningInput.Span, other));
    }

    [Fact]
    public void A_key_signs_nothing_that_is_not_a_token()
    {
        using var key = TestTokens.Key();
        Assert.Equal(Reason.TokenInvalidClaims, TestTokens.Refused(() => TokenSigner.SignPayload("{\"token_version\":\"1\"}"u8, key)).Reason);
        Assert.Equal(Reason.TokenMalformed, TestTokens.Refused(() => TokenSigner.Resign("anything"u8, key)).Reason);
    }

    [Fact]
    public void A_token_nobody_would_read_is_not_issued()
    {
        using var key = TestTokens.Key();
        var scope = Enumerable.Range(0, 64).Select(_ => new string('é', 128)).ToArray();
        Assert.Equal(Reason.TokenTooLarge, TestTokens.Refused(() => TokenSigner.Sign(TestTokens.Claims() with { Scope = scope }, key)).Reason);
    }

    [Fact]
    public void Expiry_has_no_leeway()
    {
        using var key = TestTokens.Key();
        var token = TokenParser.Parse(TokenSigner.Sign(TestTokens.Claims(), key).Compact);
        var last = DateTimeOffset.FromUnixTimeSeconds(token.Claims.ExpiresAt).AddMilliseconds(-1);
        JwsVerifier.Verify(token, TestTokens.Keys(key), last);
        Assert.Equal(Reason.TokenExpired, TestTokens.Refused(
            () => JwsVerifier.Verify(token, TestTokens.Keys(key), last.AddMilliseconds(1))).Reason);
    }

    [Fact]
    public void A_token_from_the_future_is_refused()
    {
        using var key = TestTokens.Key();
        var token = TokenParser.Parse(TokenSigner.Sign(TestTokens.Claims(), key).Compact);
        JwsVerifier.Verify(token, TestTokens.Keys(key), TestTokens.Now.AddSeconds(-30));
        Assert.Equal(Reason.TokenIssuedInFuture, TestTokens.Refused(
            () => JwsVerifier.Verify(token, TestTokens.Keys(key), TestTokens.Now.AddSeconds(-31))).Reason);
    }

    [Theory]
    [InlineData("""{"alg":"EdDSA"}""")]
    [InlineData("""{"alg":"EdDSA","kid":""}""")]
    [InlineData("""{"alg":"EdDSA","kid":" \uFEFF"}""")]
    [InlineData("""{"alg":"EdDSA","kid":5}""")]
    [InlineData("""{"alg":"EdDSA","kid":null}""")]
    [InlineData("""{"alg":"EdDSA","kid":["9f5ef94aaeb7425d"]}""")]
    public void Without_a_kid_every_accepted_key_is_tried(string header)
    {
        using var key = TestTokens.Key(23);
        using var other = TestTokens.Key(11);
        var token = TokenParser.Parse(TestTokens.Compact(header, TestTokens.Payload(), key));
        var verified = JwsVerifier.Verify(token, TestTokens.Keys(other, key), TestTokens.Now);
        Assert.Equal(key.KeyId, verified.KeyId);
        Assert.Equal(KidSource.Recovered, verified.KidSource);

        var withoutIt = new VerificationKeySet([other.VerificationKey, key.VerificationKey.With(KeyState.VerifyOnly, 1)]);
        Assert.Equal(Reason.TokenSignatureInvalid, TestTokens.Refused(() => JwsVerifier.Verify(token, withoutIt, TestTokens.Now)).Reason);
    }

    [Fact]
    public void A_kid_may_have_blanks_around_it()
    {
        using var key = TestTokens.Key();
        var compact = TestTokens.Compact("""{"alg":"EdDSA","kid":" 9f5ef94aaeb7425d\n"}""", TestTokens.Payload(), key);
        Assert.Equal(KidSource.Header, TestTokens.Verify(compact, key).KidSource);
    }

    [Fact]
    public void Another_keys_signature_is_refused()
    {
        using var key = TestTokens.Key(23);
        using var other = TestTokens.Key(11);
        var forged = TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(), other);
        Assert.Equal(Reason.TokenSignatureInvalid, TestTokens.Refused(() => TestTokens.Verify(forged, key)).Reason);
    }

    [Fact]
    public void Without_any_key_verification_is_not_configured()
    {
        using var key = TestTokens.Key();
        var token = TokenParser.Parse(TokenSigner.Sign(TestTokens.Claims(), key).Compact);
        Assert.Equal(Reason.SigningNotConfigured, TestTokens.Refused(
            () => JwsVerifier.Verify(token, VerificationKeySet.Empty, TestTokens.Now)).Reason);
    }

    [Fact]
    public void A_foreign_keys_token_says_so()
    {
        using var key = TestTokens.Key();
        var foreign = new VerificationKeySet([new VerificationKey(key.PublicKey, KeyState.VerifyOnly, isForeign: true)]);
        var token = TokenParser.Parse(TokenSigner.Sign(TestTokens.Claims(), key).Compact);
        Assert.True(JwsVerifier.Verify(token, foreign, TestTokens.Now).IsForeign);
    }

    private static TokenClaims Full()
    {
        Assert.True(PolicyHash.TryParse(new string('A', 43), out var hash));
        return TestTokens.Claims() with
        {
            Audience = Audience.Of(["a.example", "b.example"]),
            Scope = ["proxy:call", "proxy:call"],
            OwnerRef = "é/<",
            OwnerDid = Did.Parse("did:key:zOwner"),
            ControllerDid = Did.Parse("did:web:host:path"),
            AgentDid = Did.Parse("did:key:zAgent"),
            PolicyHash = hash,
            ControlPlanePolicyHash = hash,
            PaymentAccountDid = Did.Parse("did:key:zPay"),
            SpendCap = 1e-7,
            MissionId = "m\n",
            Delegation = new Delegation
            {
                Id = "d",
                DelegatorDid = Did.Parse("did:key:zOwner"),
                DelegateDid = Did.Parse("did:key:zAgent"),
                PolicyHash = hash,
                SpendCapMinor = "0100",
                ExpiresAt = 1_800_000_000,
            },
            Lane = TokenLane.Canonical,
        };
    }

    private static string Decoded(string part)
    {
        var bytes = new byte[Base64UrlText.DecodedLength(part.Length)];
        Assert.True(Base64UrlText.TryDecode(part, bytes, out _));
        return Encoding.UTF8.GetString(bytes);
    }
}
