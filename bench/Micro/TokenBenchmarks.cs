using BenchmarkDotNet.Attributes;
using ClawBureau.Tokens;

namespace ClawBureau.Micro;

/// <summary>
/// What one token costs to read and verify: seen before, new, and refused at each depth; beside them the bare signature, which is what a new
/// token cannot be cheaper than. Throughput per core is the inverse; allocations are per operation.
/// </summary>
[MemoryDiagnoser]
public class TokenBenchmarks : IDisposable
{
    private static readonly DateTimeOffset Now = DateTimeOffset.FromUnixTimeSeconds(1_795_194_899);

    private readonly VerifiedTokenCache _cache = new();
    private SigningKey _key = null!;
    private VerificationKeySet _keys = null!;
    private string _token = null!;
    private string _forged = null!;
    private string _expired = null!;
    private string _malformed = null!;
    private string _noAlgorithm = null!;
    private byte[] _signed = null!;
    private byte[] _signature = null!;

    [GlobalSetup]
    public void Setup()
    {
        _key = new SigningKey([.. Enumerable.Range(23, 32).Select(i => (byte)i)]);
        _keys = new VerificationKeySet([_key.VerificationKey]);
        var claims = new TokenClaims
        {
            Sub = "did:key:z6MkexUHYgwzaCh2sFFQtiZW9TenLJ34wmk5CqDUSX9HPEcC",
            Audience = Audience.Of("clawproxy.example"),
            Scope = ["clawproxy:call"],
            IssuedAt = Now.ToUnixTimeSeconds(),
            ExpiresAt = Now.ToUnixTimeSeconds() + 600,
            MissionId = "agent:main:dm:whatsapp:+15551234567",
            Lane = TokenLane.Legacy,
            Jti = "0b2c5b1e-6d1a-4f0e-9d55-6a5c3a1f0001",
            Nonce = "0b2c5b1e-6d1a-4f0e-9d55-6a5c3a1f0002",
        };
        claims = claims with { TokenScopeHash = claims.ComputeScopeHash() };
        var good = TokenSigner.Sign(claims, _key);
        _token = good.Compact;
        _expired = TokenSigner.Sign(claims with { ExpiresAt = claims.IssuedAt }, _key).Compact;
        _malformed = _token[..^1] + "=";
        _forged = _token[..(_token.LastIndexOf('.') + 1)] + Base64UrlText.Encode(_key.Sign("another text"u8));
        _noAlgorithm = Base64UrlText.Encode("""{"alg":"none"}"""u8) + _token[_token.IndexOf('.', StringComparison.Ordinal)..];
        _signed = good.SigningInput.ToArray();
        _signature = _key.Sign(_signed);
        _cache.Verify(_token, _keys, Now);
    }

    [GlobalCleanup]
    public void Dispose()
    {
        _key.Dispose();
        GC.SuppressFinalize(this);
    }

    [Benchmark(Baseline = true, Description = "bare Ed25519 verify")]
    public bool Bare() => Ed25519.Verify(_key.PublicKey, _signed, _signature);

    [Benchmark(Description = "verified before")]
    public VerifiedToken Cached() => _cache.Verify(_token, _keys, Now);

    [Benchmark(Description = "new")]
    public VerifiedToken Uncached() => JwsVerifier.Verify(TokenParser.Parse(_token), _keys, Now);

    [Benchmark(Description = "parsed only")]
    public ParsedToken Parsed() => TokenParser.Parse(_token);

    [Benchmark(Description = "refused: not base64url")]
    public Reason Malformed() => Refused(_malformed);

    [Benchmark(Description = "refused: alg none")]
    public Reason NoAlgorithm() => Refused(_noAlgorithm);

    [Benchmark(Description = "refused: expired")]
    public Reason Expired() => Refused(_expired);

    [Benchmark(Description = "refused: forged")]
    public Reason Forged() => Refused(_forged);

    [Benchmark(Description = "signed, and checked")]
    public byte[] Sign() => _key.Sign(_signed);

    [Benchmark(Description = "hashed only")]
    public TokenHash Hash() => TokenHash.Of(_token);

    private Reason Refused(string token) =>
        _cache.TryVerify(token, _keys, Now, out _, out var fault) ? throw new InvalidOperationException("it was accepted") : fault.Reason;
}
