namespace ClawBureau.Tokens.Tests;

/// <summary>
/// Contract 5.1: of two faults the row that stands first answers. Every pair of rows whose faults fit into one token, on each way a token
/// is judged: as text, as bytes, and by the cache.
/// </summary>
public sealed class RefusalOrderTests
{
    private const string Good = """{"token_version":"1","sub":"s","aud":"a","scope":["x"],"iat":1795194899,"exp":1795195499}""";
    private static readonly string Key = "9f5ef94aaeb7425d", CutOff = "6c85026b6a2e08b6";

    // In the contract's order. Where a fault is made: the whole text, the header's JSON, the payload's, the keys, the signature.
    private static readonly (string Row, Reason Reason, string Where, Func<Draft, Draft> Break)[] Rows =
    [
        ("1 two parts", Reason.TokenMalformed, "text", draft => draft with { Dots = 1 }),
        ("2 header encoding", Reason.TokenMalformed, "header", draft => draft with { Header = "{" }),
        ("2 header object", Reason.TokenMalformed, "header", draft => draft with { Header = "[]" }),
        ("3 alg", Reason.TokenUnsupportedAlg, "header", draft => draft with { Header = draft.Header.Replace("EdDSA", "none", StringComparison.Ordinal) }),
        ("header crit", Reason.TokenMalformed, "header more", draft => draft with { Header = draft.Header[..^1] + ",\"crit\":[\"exp\"]}" }),
        ("header typ", Reason.TokenMalformed, "header more", draft => draft with { Header = draft.Header.Replace("\"JWT\"", "\"at+jwt\"", StringComparison.Ordinal) }),
        ("4 payload encoding", Reason.TokenMalformed, "payload", draft => draft with { Payload = draft.Payload + "}" }),
        ("5 version", Reason.TokenUnknownVersion, "version", draft => draft with { Payload = draft.Payload.Replace("\"token_version\":\"1\"", "\"token_version\":1", StringComparison.Ordinal) }),
        ("6 claims", Reason.TokenInvalidClaims, "claims", draft => draft with { Payload = draft.Payload.Replace("[\"x\"]", "[]", StringComparison.Ordinal) }),
        ("signature encoding", Reason.TokenMalformed, "signature text", draft => draft with { Tail = "=" }),
        ("7 expired", Reason.TokenExpired, "exp", draft => draft with { Payload = draft.Payload.Replace("1795195499", "1795194899", StringComparison.Ordinal) }),
        ("7 from the future", Reason.TokenIssuedInFuture, "iat", draft => draft with { Payload = draft.Payload.Replace("\"iat\":1795194899", "\"iat\":1795194930", StringComparison.Ordinal) }),
        ("8 no keys", Reason.SigningNotConfigured, "keys", draft => draft with { HasKeys = false }),
        ("9 unknown kid", Reason.TokenUnknownKid, "kid", draft => draft with { Header = draft.Header.Replace(Key, "0123456789abcdef", StringComparison.Ordinal) }),
        ("10 kid cut off", Reason.TokenKidExpired, "kid", draft => draft with { Header = draft.Header.Replace(Key, CutOff, StringComparison.Ordinal) }),
        ("11 signature", Reason.TokenSignatureInvalid, "signature", draft => draft with { IsSigned = false }),
    ];

    [Fact]
    public void Of_two_rows_that_fail_the_earlier_answers()
    {
        using var key = TestTokens.Key(23);
        using var cutOff = TestTokens.Key(39);
        var keys = new VerificationKeySet([key.VerificationKey, cutOff.VerificationKey.With(KeyState.VerifyOnly, 1)]);
        var cache = new VerifiedTokenCache();
        Assert.Null(Judge(new Draft()));
        var pairs = 0;
        for (var earlier = 0; earlier < Rows.Length; earlier++)
        {
            Assert.True(Rows[earlier].Reason == Judge(Rows[earlier].Break(new Draft())), Rows[earlier].Row);
            for (var later = earlier + 1; later < Rows.Length; later++)
            {
                if (Rows[later].Where == Rows[earlier].Where) continue;
                var both = Rows[earlier].Break(Rows[later].Break(new Draft()));
                Assert.True(Rows[earlier].Reason == Judge(both), $"{Rows[earlier].Row}, {Rows[later].Row}: {Judge(both)}");
                pairs++;
            }
        }
        Assert.InRange(pairs, 100, 120);

        Reason? Judge(Draft draft)
        {
            var text = draft.Make(key);
            var set = draft.HasKeys ? keys : VerificationKeySet.Empty;
            var fault = TokenParser.TryParse(text, out var parsed, out var malformed) && JwsVerifier.TryVerify(parsed, set, TestTokens.Now, out _, out malformed) ? null : malformed;
            for (var again = 0; again < 2; again++)
            {
                Assert.Equal(fault is null, cache.TryVerify(text, set, TestTokens.Now, out _, out var ofText));
                Assert.Equal(fault is null, cache.TryVerify(System.Text.Encoding.UTF8.GetBytes(text), set, TestTokens.Now, out _, out var ofBytes));
                Assert.Equal((fault?.Reason, fault?.Sentence, fault?.Reason), (ofText?.Reason, ofText?.Sentence, ofBytes?.Reason));
            }
            return fault?.Reason;
        }
    }

    private sealed record Draft
    {
        public string Header { get; init; } = $$"""{"alg":"EdDSA","typ":"JWT","kid":"{{Key}}"}""";
        public string Payload { get; init; } = Good;
        public bool IsSigned { get; init; } = true;
        public bool HasKeys { get; init; } = true;
        public int Dots { get; init; } = 2;
        public string Tail { get; init; } = "";

        public string Make(SigningKey key)
        {
            var compact = TestTokens.Compact(Header, Payload, key);
            if (!IsSigned) compact = compact[..(compact.LastIndexOf('.') + 1)] + Base64UrlText.Encode(new byte[64]);
            return (Dots == 2 ? compact : compact.Remove(compact.LastIndexOf('.'), 1)) + Tail;
        }
    }
}
