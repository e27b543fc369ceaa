using System.Text;
using BenchmarkDotNet.Attributes;
using ClawBureau.Tokens;

namespace ClawBureau.Micro;

/// <summary>
/// What a token costs that is refused before anybody looks at its signature, one kind a row: SECURITY.md D7 allows 5 µs of CPU. The last
/// three are as expensive as a sender can make them within the bounds of length, depth and counts.
/// </summary>
[MemoryDiagnoser]
public class RefusalBenchmarks : IDisposable
{
    private const long Issued = 1_795_194_899;
    private static readonly DateTimeOffset Now = DateTimeOffset.FromUnixTimeSeconds(Issued);

    private readonly VerifiedTokenCache _cache = new();
    private SigningKey _key = null!;
    private VerificationKeySet _keys = null!;
    private string _token = null!;

    public static IEnumerable<string> Kinds =>
    [
        "too long", "no token", "padded", "alg none", "crit", "a claim twice", "NaN", "1e400", "exp as text", "exp negative", "exp above 2^53", "17 deep",
        "65 scopes", "unknown version", "expired", "unknown kid", "cut-off kid", "most members", "most values", "most text",
    ];

    [ParamsSource(nameof(Kinds))]
    public string Kind { get; set; } = "";

    [GlobalSetup]
    public void Setup()
    {
        _key = new SigningKey([.. Enumerable.Range(23, 32).Select(i => (byte)i)]);
        using var old = new SigningKey([.. Enumerable.Range(39, 32).Select(i => (byte)i)]);
        _keys = new VerificationKeySet([_key.VerificationKey, old.VerificationKey.With(KeyState.VerifyOnly, Issued - 1)]);
        var header = $$"""{"alg":"EdDSA","typ":"JWT","kid":"{{_key.KeyId}}"}""";
        _token = Kind switch
        {
            "too long" => new string('A', TokenLimits.MaxTokenBytes + 1),
            "no token" => "Bearer of bad news",
            "padded" => Token(header, Payload()) + "=",
            "alg none" => Token("""{"alg":"none","typ":"JWT"}""", Payload()),
            "crit" => Token(header[..^1] + ",\"crit\":[\"exp\"]}", Payload()),
            "a claim twice" => Token(header, Payload(more: ",\"sub\":\"did:key:zOther\"")),
            "NaN" => Token(header, Payload(exp: "NaN")),
            "1e400" => Token(header, Payload(exp: "1e400")),
            "exp as text" => Token(header, Payload(exp: $"\"{Issued + 600}\"")),
            "exp negative" => Token(header, Payload(exp: "-1")),
            "exp above 2^53" => Token(header, Payload(exp: "9007199254740993")),
            "17 deep" => Token(header, Payload(more: $",\"x\":{new string('[', 16)}{new string(']', 16)}")),
            "65 scopes" => Token(header, Payload(scope: string.Join(',', Enumerable.Range(0, 65).Select(i => $"\"clawproxy:call:{i}\"")))),
            "unknown version" => Token(header, Payload(version: "2")),
            "expired" => Token(header, Payload(exp: $"{Issued}")),
            "unknown kid" => Token(header.Replace(_key.KeyId.ToString(), "0123456789abcdef", StringComparison.Ordinal), Payload()),
            "cut-off kid" => Token(header.Replace(_key.KeyId.ToString(), old.KeyId.ToString(), StringComparison.Ordinal), Payload()),
            "most members" => Token(header, Payload(version: "2", more: ",\"x\":[" + string.Join(',', Enumerable.Repeat(
                "{" + string.Join(',', Enumerable.Range(0, 64).Select(i => $"\"{(char)('0' + i / 8)}{(char)('0' + i % 8)}\":1")) + "}", 20)) + "]")),
            "most values" => Token(header, Payload(version: "2", more: ",\"x\":[" + string.Join(',', Enumerable.Repeat("1", 5_500)) + "]")),
            "most text" => Token(header, Payload(version: "2", more: $",\"x\":\"{new string('x', 11_500)}\"")),
            _ => throw new InvalidOperationException($"no kind {Kind}"),
        };
    }

    [GlobalCleanup]
    public void Dispose()
    {
        _key.Dispose();
        GC.SuppressFinalize(this);
    }

    [Benchmark]
    public Reason Refused() =>
        _cache.TryVerify(_token, _keys, Now, out _, out var fault) ? throw new InvalidOperationException("it was accepted") : fault.Reason;

    private static string Token(string header, string payload) =>
        $"{Base64UrlText.Encode(Encoding.UTF8.GetBytes(header))}.{Base64UrlText.Encode(Encoding.UTF8.GetBytes(payload))}.{Base64UrlText.Encode(new byte[64])}";

    private static string Payload(string version = "1", string scope = "\"clawproxy:call\"", string? exp = null, string more = "") =>
        $$"""
        {"token_version":"{{version}}","sub":"did:key:z6MkexUHYgwzaCh2sFFQtiZW9TenLJ34wmk5CqDUSX9HPEcC","aud":"clawproxy.example","scope":[{{scope}}],"iat":{{Issued}},"exp":{{exp ?? $"{Issued + 600}"}},"mission_id":"agent:main:dm:whatsapp:+15551234567","token_lane":"legacy","jti":"0b2c5b1e-6d1a-4f0e-9d55-6a5c3a1f0001","nonce":"0b2c5b1e-6d1a-4f0e-9d55-6a5c3a1f0002"{{more}}}
        """;
}
