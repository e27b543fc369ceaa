namespace ClawBureau.Tokens.Tests;

public sealed class KeyRingTests
{
    private const string X39 = "D1jAZpCQF2p71WOgyYsIFYcTnYx-CaqtNFXMlwYM-aM";
    private const string Kid39 = "6c85026b6a2e08b6";
    private static readonly string Seed11 = Base64UrlText.Encode(TestTokens.Seed(11));
    private static readonly string Seed23 = Base64UrlText.Encode(TestTokens.Seed(23));

    [Fact]
    public void The_single_key_signs()
    {
        using var ring = Parse(seed: $" {Seed23}\n");
        Assert.Equal("9f5ef94aaeb7425d", ring.Active.KeyId.ToString());
        Assert.Equal(KeyState.Active, ring.Find(ring.Active.KeyId)!.State);
    }

    [Fact]
    public void The_list_wins_and_its_first_key_signs()
    {
        using var ring = Parse(seed: Base64UrlText.Encode(TestTokens.Seed(77)), list: $"""["{Seed11}","{Seed23}"]""");
        Assert.Equal("fe2b99fd9afaa999", ring.Active.KeyId.ToString());
        Assert.Equal(["fe2b99fd9afaa999", "9f5ef94aaeb7425d"], ring.SigningKeys.Select(key => key.KeyId.ToString()));
        Assert.NotNull(ring.FindSigningKey(KeyId.Parse("9f5ef94aaeb7425d")));
        Assert.Null(ring.Find(KeyId.Parse("0c1b8946b8068fe3")));
    }

    [Fact]
    public void Keys_are_read_in_either_alphabet_and_with_padding()
    {
        using var ring = Parse(seed: Convert.ToBase64String([.. TestTokens.Seed(23), .. TestTokens.Seed(200)]));
        Assert.Equal("9f5ef94aaeb7425d", ring.Active.KeyId.ToString());
    }

    [Fact]
    public void Verify_only_keys_come_after_signing_keys()
    {
        using var ring = Parse(seed: Seed23, verify: $$"""[{"x":"{{X39}}","kid":"{{Kid39}}","not_after_unix":1800000000.9,"source_label":"old"}]""");
        Assert.Equal(["9f5ef94aaeb7425d", Kid39], ring.VerificationKeys.Keys.Select(key => key.KeyId.ToString()));
        Assert.Equal(1800000000, ring.Find(KeyId.Parse(Kid39))!.NotAfter);
        Assert.Null(ring.FindSigningKey(KeyId.Parse(Kid39)));
    }

    [Fact]
    public void A_verify_only_copy_of_a_signing_key_keeps_its_cut_off()
    {
        using var ring = Parse(
            list: $"""["{Seed11}","{Seed23}"]""",
            verify: """[{"x":"fjDhMgb8f7hMQiOevSW-p5nVYN5eup_8YSOrnyDSR40","not_after_unix":1800000000}]""");
        var old = ring.Find(KeyId.Parse("9f5ef94aaeb7425d"))!;
        Assert.Equal(1800000000, old.NotAfter);
        Assert.Empty(ring.VerifyOnlyKeys);
        Assert.True(old.IsAcceptedAt(DateTimeOffset.FromUnixTimeSeconds(1800000000)));
        Assert.False(old.IsAcceptedAt(DateTimeOffset.FromUnixTimeSeconds(1800000001)));
    }

    [Fact]
    public void An_active_key_past_its_cut_off_does_not_sign()
    {
        using var ring = Parse(seed: Seed23, verify: """[{"x":"fjDhMgb8f7hMQiOevSW-p5nVYN5eup_8YSOrnyDSR40","not_after_unix":1000}]""");
        Assert.Same(ring.Active, ring.ActiveAt(DateTimeOffset.FromUnixTimeSeconds(1000)));
        Assert.Equal(Reason.SigningKeyNotActive, TestTokens.Refused(() => ring.ActiveAt(DateTimeOffset.FromUnixTimeSeconds(1001))).Reason);
    }

    [Theory]
    [InlineData(null, null, null)]
    [InlineData("  ", "", null)]
    [InlineData(null, null, $"""["{X39}"]""")]
    [InlineData("", " ", "nonsense")]
    public void Without_a_signing_key_signing_is_not_configured(string? seed, string? list, string? verify) =>
        Assert.Equal(Reason.SigningNotConfigured, TestTokens.Refused(() => Parse(seed, list, verify)).Reason);

    public static TheoryData<string?, string?, string?> Invalid => new()
    {
        { null, "{", null },
        { null, "{}", null },
        { null, "\"text\"", null },
        { null, "[]", null },
        { null, "[\"\"]", null },
        { null, "[5]", null },
        { null, """["\ud800"]""", null },
        { null, $"""["{Seed11}",""]""", null },
        { null, $"""["{Seed11}","{Seed11}"]""", null },
        { Seed11[..40], null, null },
        { "not base64!", null, null },
        { Seed11, null, "[" },
        { Seed11, null, "{}" },
        { Seed11, null, "[7]" },
        { Seed11, null, """["AAAA"]""" },
        { Seed11, null, """[{"kid":"x"}]""" },
        { Seed11, null, """[{"x":5}]""" },
        { Seed11, null, $$"""[{"x":"{{X39}}","kid":"fe2b99fd9afaa999"}]""" },
        { Seed11, null, $$"""[{"x":"{{X39}}","kid":5}]""" },
        { Seed11, null, $$"""[{"x":"{{X39}}","not_after_unix":0}]""" },
        { Seed11, null, $$"""[{"x":"{{X39}}","not_after_unix":-5}]""" },
        { Seed11, null, $$"""[{"x":"{{X39}}","not_after_unix":"1800000000"}]""" },
        { Seed11, null, """["AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]""" }, // the identity: anybody could sign for it
    };

    [Theory, MemberData(nameof(Invalid))]
    public void What_is_there_and_wrong_is_an_invalid_configuration(string? seed, string? list, string? verify)
    {
        var refusal = TestTokens.Refused(() => Parse(seed, list, verify));
        Assert.Equal(Reason.SigningConfigInvalid, refusal.Reason);
        Assert.DoesNotContain(Seed11[..8], refusal.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void More_keys_than_a_document_should_list_are_refused()
    {
        var seeds = Enumerable.Range(0, TokenLimits.MaxKeys + 1).Select(offset => (ReadOnlyMemory<byte>)TestTokens.Seed(offset));
        Assert.Equal(Reason.SigningConfigInvalid, TestTokens.Refused(() => KeyRing.FromSeeds(seeds)).Reason);
    }

    [Fact]
    public void A_set_refuses_a_kid_that_is_not_its_keys()
    {
        using var key = TestTokens.Key();
        var publicKey = key.PublicKey.ToArray();
        Assert.Single(VerificationKeySet.From([(key.KeyId, publicKey, KeyState.Active, null, false)]).Keys);
        Assert.Equal(Reason.SigningConfigInvalid, TestTokens.Refused(
            () => VerificationKeySet.From([(KeyId.Parse(Kid39), publicKey, KeyState.Active, null, false)])).Reason);
    }

    [Fact]
    public void A_token_is_accepted_exactly_while_it_lives_and_its_key_is_accepted() // SECURITY.md D12
    {
        var random = new Random(12);
        using var key = TestTokens.Key(39);
        var token = TokenParser.Parse(TokenSigner.Sign(TestTokens.Claims(), key).Compact);
        var (issued, expires) = (token.Claims.IssuedAt, token.Claims.ExpiresAt);
        for (var round = 0; round < 300; round++)
        {
            var state = (KeyState)random.Next(4);
            long? cutOff = random.Next(3) == 0 ? null : issued + random.Next(-100, 800);
            var now = issued + random.Next(-40, 800);
            var isKnown = random.Next(5) > 0;
            var keys = isKnown
                ? new VerificationKeySet([key.VerificationKey.With(state, cutOff)])
                : TestTokens.Keys(TestTokens.Key(11));

            var expected = (Reason?)null;
            if (now >= expires) expected = Reason.TokenExpired;
            else if (issued > now + 30) expected = Reason.TokenIssuedInFuture;
            else if (!isKnown) expected = Reason.TokenUnknownKid;
            else if (state == KeyState.Retired || cutOff < now) expected = Reason.TokenKidExpired;

            var at = DateTimeOffset.FromUnixTimeSeconds(now).AddMilliseconds(random.Next(1000));
            if (expected is null) Assert.Equal(key.KeyId, JwsVerifier.Verify(token, keys, at).KeyId);
            else Assert.Equal(expected, TestTokens.Refused(() => JwsVerifier.Verify(token, keys, at)).Reason);
        }
    }

    private static KeyRing Parse(string? seed = null, string? list = null, string? verify = null) => KeyRing.Parse(name => name switch
    {
        "SCOPE_SIGNING_KEY" => seed,
        "SCOPE_SIGNING_KEYS_JSON" => list,
        "SCOPE_VERIFY_PUBLIC_KEYS_JSON" => verify,
        _ => null,
    });
}
