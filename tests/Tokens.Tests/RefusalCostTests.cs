using System.Runtime.ExceptionServices;
using System.Text;

namespace ClawBureau.Tokens.Tests;

/// <summary>
/// SECURITY.md D7: what is refused before the signature is refused cheaply. What it costs in time is measured elsewhere (bench/Micro); what
/// makes it cheap is held here: nothing is thrown, little is allocated, and no signature is looked at.
/// </summary>
public sealed class RefusalCostTests
{
    // What has to be read to be judged: the claims of a token that has expired, as text.
    private const int MostBytes = 2048;

    public static TheoryData<string, Reason> Kinds => new()
    {
        { "", Reason.TokenMalformed },
        { "Bearer of bad news", Reason.TokenMalformed },
        { "a.b.c.d", Reason.TokenMalformed },
        { new string('A', TokenLimits.MaxTokenBytes + 1), Reason.TokenMalformed },
        { new string('é', 600), Reason.TokenMalformed },
        { Token() + "=", Reason.TokenMalformed },
        { Token() + " ", Reason.TokenMalformed },
        { Token()[..^1] + "B", Reason.TokenMalformed },
        { Token(header: "{"), Reason.TokenMalformed },
        { Token(header: "[]"), Reason.TokenMalformed },
        { Token(header: """{"alg":"EdDSA","crit":["exp"]}"""), Reason.TokenMalformed },
        { Token(header: """{"alg":"EdDSA","typ":"at+jwt"}"""), Reason.TokenMalformed },
        { Token(header: """{"alg":"none"}"""), Reason.TokenUnsupportedAlg },
        { Token(",\"sub\":\"other\""), Reason.TokenMalformed },
        { Token(",\"s\\u0075b\":\"other\""), Reason.TokenMalformed },
        { Token(",\"x\":NaN"), Reason.TokenMalformed },
        { Token(",\"x\":\"\\ud800\""), Reason.TokenMalformed },
        { Token($",\"x\":{new string('[', 16)}{new string(']', 16)}"), Reason.TokenMalformed },
        { Token(payload: "null"), Reason.TokenInvalidClaims },
        { Token(payload: Payload("1e400")), Reason.TokenInvalidClaims },
        { Token(payload: Payload("\"1795195499\"")), Reason.TokenInvalidClaims },
        { Token(payload: Payload("-1")), Reason.TokenInvalidClaims },
        { Token(payload: Payload("9007199254740993")), Reason.TokenInvalidClaims },
        { Token(payload: Payload("1795195499", scope: string.Join(',', Enumerable.Repeat("\"x\"", 65)))), Reason.TokenInvalidClaims },
        { Token(payload: """{"token_version":"2"}"""), Reason.TokenUnknownVersion },
        { Token(payload: Payload("1795194899")), Reason.TokenExpired },
        { Token(header: """{"alg":"EdDSA","kid":"0123456789abcdef"}"""), Reason.TokenUnknownKid },
        { Token(header: """{"alg":"EdDSA","kid":"6c85026b6a2e08b6"}"""), Reason.TokenKidExpired },
    };

    [Theory, MemberData(nameof(Kinds))]
    public void What_is_refused_before_the_signature_throws_nothing_and_allocates_little(string token, Reason reason)
    {
        using var key = TestTokens.Key();
        using var cutOff = TestTokens.Key(39);
        var ed25519 = new CountingEd25519();
        var keys = new VerificationKeySet([key.VerificationKey.With(ed25519), cutOff.VerificationKey.With(KeyState.VerifyOnly, 1).With(ed25519)]);
        var cache = new VerifiedTokenCache();
        var utf8 = Encoding.UTF8.GetBytes(token);
        for (var warm = 0; warm < 3; warm++) Assert.Equal((reason, reason), Refused()); // compiles, and fills the pool a long token borrows from

        var (thrown, thread) = (0, Environment.CurrentManagedThreadId);
        void Count(object? sender, FirstChanceExceptionEventArgs e)
        {
            if (Environment.CurrentManagedThreadId == thread) thrown++;
        }
        AppDomain.CurrentDomain.FirstChanceException += Count;
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var call = 0; call < 100; call++) Refused();
        var allocated = (GC.GetAllocatedBytesForCurrentThread() - before) / 200;
        AppDomain.CurrentDomain.FirstChanceException -= Count;

        Assert.Equal(0, thrown);
        Assert.InRange(allocated, 0, MostBytes);
        Assert.Equal((0, 0), (ed25519.Verifications, cache.Count));

        (Reason, Reason) Refused()
        {
            Assert.False(cache.TryVerify(token, keys, TestTokens.Now, out _, out var ofText));
            Assert.False(cache.TryVerify(utf8, keys, TestTokens.Now, out _, out var ofBytes));
            return (ofText.Reason, ofBytes.Reason);
        }
    }

    [Fact]
    public void A_signature_that_is_looked_at_is_counted_once_a_key()
    {
        using var key = TestTokens.Key();
        using var other = TestTokens.Key(11);
        var ed25519 = new CountingEd25519();
        var keys = new VerificationKeySet([other.VerificationKey.With(ed25519), key.VerificationKey.With(ed25519)]);
        var cache = new VerifiedTokenCache();
        var good = TokenSigner.Sign(TestTokens.Claims(), key).Compact;
        cache.Verify(good, keys, TestTokens.Now);
        Assert.Equal(1, ed25519.Verifications);
        cache.Verify(good, keys, TestTokens.Now);
        Assert.Equal(1, ed25519.Verifications);
        Assert.False(cache.TryVerify(Token(header: """{"alg":"EdDSA"}"""), keys, TestTokens.Now, out _, out var fault));
        Assert.Equal((Reason.TokenSignatureInvalid, 3), (fault.Reason, ed25519.Verifications));
    }

    private static string Payload(string exp, string scope = "\"x\"") =>
        $$"""{"token_version":"1","sub":"did:key:zAgent","aud":"a.example","scope":[{{scope}}],"iat":1795194899,"exp":{{exp}},"jti":"{{TestTokens.Jti}}"}""";

    private static string Token(string more = "", string header = """{"alg":"EdDSA","typ":"JWT"}""", string? payload = null) =>
        $"{Base64UrlText.Encode(Encoding.UTF8.GetBytes(header))}.{Base64UrlText.Encode(Encoding.UTF8.GetBytes(payload ?? TestTokens.Payload(more)))}.{Base64UrlText.Encode(new byte[64])}";

    private sealed class CountingEd25519 : IEd25519
    {
        public int Verifications { get; private set; }

        public string Name => Ed25519.Backend;

        public void PublicKeyFromSeed(ReadOnlySpan<byte> seed, Span<byte> publicKey) => Ed25519.PublicKeyFromSeed(seed, publicKey);

        public void Sign(ReadOnlySpan<byte> seed, ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, Span<byte> signature) =>
            Ed25519.Sign(seed, publicKey, message, signature);

        public bool Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
        {
            Verifications++;
            return Ed25519.Verify(publicKey, message, signature);
        }
    }
}
