using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Xunit.Abstractions;

namespace ClawBureau.Tokens.Tests;

/// <summary>
/// Mutated tokens: whatever arrives is refused with a reason, and nothing is accepted that was not signed as it stands. 20,000 of them
/// by default; CLAW_FUZZ_TOKENS says how many, CLAW_FUZZ_SEED where to begin.
/// </summary>
public sealed class FuzzTests(ITestOutputHelper output)
{
    // Of so many, one is changed and then signed; signing costs more than everything else together.
    private const int SignedEvery = 50;
    private const int CachedEvery = 8;
    private const int Chunk = 1000;

    private static readonly HashSet<Reason> Expected =
    [
        Reason.TokenMalformed, Reason.TokenUnsupportedAlg, Reason.TokenUnknownVersion, Reason.TokenInvalidClaims, Reason.TokenExpired,
        Reason.TokenIssuedInFuture, Reason.TokenUnknownKid, Reason.TokenKidExpired, Reason.TokenSignatureInvalid,
    ];

    [Fact, Trait("Length", "Nightly")]
    public void Whatever_arrives_is_refused_with_a_reason_unless_it_was_signed_as_it_stands()
    {
        var count = LongRun.Setting("CLAW_FUZZ_TOKENS", 20_000);
        var first = (int)LongRun.Setting("CLAW_FUZZ_SEED", 20_261_125);
        var run = new LongRun("fuzz", count);
        using var key = TestTokens.Key(23);
        using var other = TestTokens.Key(11);
        using var retired = TestTokens.Key(39);
        var keys = new VerificationKeySet([key.VerificationKey, other.VerificationKey, retired.VerificationKey.With(KeyState.Retired, null)]);
        var corpus = Corpus(key, other, retired);
        var originals = corpus.ToHashSet(StringComparer.Ordinal);
        var cache = new VerifiedTokenCache(maxTokens: 64);
        var refused = new long[2048];
        long accepted = 0, signedAccepted = 0, done = 0;
        var watch = Stopwatch.StartNew();

        Parallel.For(0, (count + Chunk - 1) / Chunk, LongRun.OnEveryCore, chunk =>
        {
            // A seed per chunk: a failure is repeated by its seed and number alone, however many threads there are.
            var mutator = new TokenMutator(first + (int)chunk, corpus);
            for (var i = 0; i < Chunk && chunk * Chunk + i < count; i++)
            {
                var isSigned = i % SignedEvery == 0;
                var token = isSigned ? mutator.NextSigned(key) : mutator.NextUnsigned();
                string Where() => $"seed {first + chunk}, number {i}: {Encoding.Latin1.GetString(token)}";
                var reason = Judge(() => JwsVerifier.Verify(TokenParser.Parse(token), keys, TestTokens.Now), Where);
                if (i % CachedEvery == 1 && Ascii.IsValid(token))
                    Assert.True(reason == Judge(() => JwsVerifier.Verify(TokenParser.Parse(Encoding.ASCII.GetString(token)), keys, TestTokens.Now), Where), Where());
                // The cache has seen every original, and must not say otherwise of what resembles one.
                if (i % CachedEvery == 0 || reason is null) Assert.True(reason == Judge(() => cache.Verify(token, keys, TestTokens.Now), Where), Where());
                Interlocked.Increment(ref done);
                if (reason is { } refusal)
                {
                    Assert.True(Expected.Contains(refusal), $"{refusal} {Where()}");
                    Interlocked.Increment(ref refused[(int)refusal]);
                    continue;
                }
                if (!isSigned) Assert.True(originals.Contains(Encoding.Latin1.GetString(token)), $"accepted: {Where()}");
                RequireStrict(token, Where());
                Interlocked.Increment(ref isSigned ? ref signedAccepted : ref accepted);
            }
            run.Did(Chunk);
        });

        Assert.Equal(count, done);
        output.WriteLine($"{done:N0} tokens in {watch.Elapsed.TotalSeconds:0.0} s; accepted: {accepted:N0} unchanged after all, {signedAccepted:N0} changed and then signed");
        foreach (var reason in Expected) output.WriteLine($"{reason}: {refused[(int)reason]:N0}");
        // It gets past the surface: the run would say little if everything failed at the first dot.
        Assert.All(Expected, reason => Assert.True(refused[(int)reason] > 0, $"{reason} was never reached"));
        Assert.InRange(signedAccepted, 1, long.MaxValue);
    }

    private static Reason? Judge(Func<VerifiedToken> verify, Func<string> where)
    {
        try
        {
            verify();
            return null;
        }
        catch (Refusal refusal)
        {
            // Refusals go to callers and logs: none quotes the token (L7).
            Assert.True((refusal.Sentence ?? "").Length < 100 && refusal.Metadata.Count == 0, where());
            return refusal.Reason;
        }
        catch (Exception crash) when (crash is not Xunit.Sdk.XunitException)
        {
            throw new InvalidOperationException($"{crash.GetType().Name} {where()}", crash);
        }
    }

    /// <summary>By another reader than the one under test: what was accepted has one spelling, and says what it must.</summary>
    private static void RequireStrict(byte[] token, string where)
    {
        var parts = Encoding.ASCII.GetString(token).Split('.');
        Assert.True(parts.Length == 3 && parts.All(part => Convert.ToBase64String(Decode(part)).TrimEnd('=').Replace('+', '-').Replace('/', '_') == part), where);
        using var header = JsonDocument.Parse(Decode(parts[0]));
        using var payload = JsonDocument.Parse(Decode(parts[1]));
        foreach (var root in (JsonElement[])[header.RootElement, payload.RootElement])
            Assert.True(root.EnumerateObject().Select(member => member.Name).Distinct().Count() == root.EnumerateObject().Count(), where);
        Assert.True(header.RootElement.GetProperty("alg").GetString() is "EdDSA" or "Ed25519", where);
        Assert.True(!header.RootElement.EnumerateObject().Any(member => member.Name is "crit" or "b64" or "zip" or "jwk" or "jku" or "x5u" or "x5c"), where);
        var claims = payload.RootElement;
        Assert.True(claims.GetProperty("token_version").GetString() == "1" && claims.GetProperty("sub").GetString()!.Length > 0, where);
        Assert.True(claims.GetProperty("scope").EnumerateArray().All(item => item.ValueKind == JsonValueKind.String) && claims.GetProperty("scope").GetArrayLength() is > 0 and <= 64, where);
        foreach (var time in (string[])["iat", "exp"]) Assert.True(claims.GetProperty(time).GetRawText().All(char.IsAsciiDigit), where);
        Assert.True(claims.GetProperty("exp").GetInt64() > TestTokens.Now.ToUnixTimeSeconds() && claims.GetProperty("iat").GetInt64() <= TestTokens.Now.ToUnixTimeSeconds() + 30, where);
    }

    private static byte[] Decode(string part) => Convert.FromBase64String(part.Replace('-', '+').Replace('_', '/').PadRight((part.Length + 3) / 4 * 4, '='));

    private static List<string> Corpus(SigningKey key, SigningKey other, SigningKey retired)
    {
        Assert.True(PolicyHash.TryParse(new string('A', 43), out var hash));
        var claims = TestTokens.Claims();
        var full = claims with
        {
            Audience = Audience.Of(["a.example", "b.example"]),
            Scope = ["proxy:call", "é😀"],
            OwnerRef = "é/<\"\\",
            OwnerDid = Did.Parse("did:key:zOwner"),
            ControllerDid = Did.Parse("did:web:host:path"),
            AgentDid = Did.Parse("did:key:zAgent"),
            PolicyHash = hash,
            ControlPlanePolicyHash = hash,
            PaymentAccountDid = Did.Parse("did:key:zPay"),
            SpendCap = 1e-7,
            Delegation = new Delegation { Id = "d", DelegatorDid = Did.Parse("did:key:zOwner"), SpendCapMinor = "0100", ExpiresAt = 1_800_000_000 },
            Lane = TokenLane.Canonical,
        };
        return
        [
            TokenSigner.Sign(claims, key).Compact,
            TokenSigner.Sign(claims, key, TokenAlgorithm.Ed25519).Compact,
            TokenSigner.Sign(claims with { Jti = "1" }, other).Compact,
            TokenSigner.Sign(full with { TokenScopeHash = full.ComputeScopeHash() }, key).Compact,
            TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(), key),
            TestTokens.Compact("""{"alg":"EdDSA"}""", TestTokens.Payload(""","unknown":{"a":[1,{"b":null}]}"""), other),
            // Refused already, each later than the one before.
            TokenSigner.Sign(claims with { ExpiresAt = TestTokens.Now.ToUnixTimeSeconds() }, key).Compact,
            TokenSigner.Sign(claims with { IssuedAt = TestTokens.Now.ToUnixTimeSeconds() + 31 }, key).Compact,
            TestTokens.Compact("""{"alg":"EdDSA","kid":"0123456789abcdef"}""", TestTokens.Payload(), key),
            TokenSigner.Sign(claims, retired).Compact,
        ];
    }
}
