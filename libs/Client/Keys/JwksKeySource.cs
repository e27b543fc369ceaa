using System.Net.Http.Headers;
using System.Text.Json;
using ClawBureau.Tokens;

namespace ClawBureau.Client.Keys;

/// <summary>
/// Keys from the HTTP face: <c>/v1/jwks</c>, with the cut-offs that <c>/v1/keys/rotation-contract</c> states. Neither tells retired
/// keys, so their tokens are of an unknown key here, nor which keys never signed there: whoever must not accept tokens of foreign
/// keys takes <see cref="IssuerKeySource"/>.
/// </summary>
/// <param name="http">Its base address is that of the HTTP face.</param>
public sealed class JwksKeySource(HttpClient http, PeerCalls calls) : IKeySource
{
    private const int MostBytes = 256 * 1024;

    public Task<KeyReading> ReadAsync(CancellationToken cancellationToken) => calls.AskAsync(ReadOnceAsync, cancellationToken);

    private async Task<KeyReading> ReadOnceAsync(CancellationToken cancellationToken)
    {
        try
        {
            // The contract first: a key that comes in between is then in the JWKS without a cut-off, which none has that is new.
            using var contract = await GetAsync("/v1/keys/rotation-contract", cancellationToken);
            using var jwks = await GetAsync("/v1/jwks", cancellationToken);
            return Read(jwks.RootElement, contract.RootElement);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw new Refusal(Reason.PeerUnavailable, "The keys cannot be fetched over HTTP", inner: e);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw new Refusal(Reason.SigningConfigInvalid, "The keys that were fetched over HTTP are not in the form of the contract", inner: e);
        }
    }

    internal static KeyReading Read(JsonElement jwks, JsonElement contract)
    {
        var active = contract.GetProperty("active_kid").GetString();
        var cutOffs = contract.GetProperty("expiring_kids").EnumerateArray()
            .ToDictionary(key => key.GetProperty("kid").GetString()!, key => key.GetProperty("not_after_unix").GetInt64(), StringComparer.Ordinal);
        var keys = new List<(KeyId, byte[], KeyState, long?, bool)>();
        foreach (var jwk in jwks.GetProperty("keys").EnumerateArray())
        {
            // A set may hold keys for other uses; of ours there is one kind.
            if (jwk.GetProperty("kty").GetString() != "OKP" || jwk.GetProperty("crv").GetString() != "Ed25519") continue;
            if (jwk.TryGetProperty("use", out var use) && use.GetString() != "sig") continue;
            var kid = jwk.GetProperty("kid").GetString()!;
            var publicKey = new byte[Ed25519.PublicKeyLength];
            if (!Base64UrlText.TryDecode(jwk.GetProperty("x").GetString(), publicKey, out var length) || length != publicKey.Length) throw new FormatException("x is no public key");
            keys.Add((KeyId.Parse(kid), publicKey, kid == active ? KeyState.Active : KeyState.VerifyOnly, cutOffs.TryGetValue(kid, out long end) ? end : null, false));
        }
        return new KeyReading(VerificationKeySet.From(keys), "", 0);
    }

    private async Task<JsonDocument> GetAsync(string path, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.CacheControl = new CacheControlHeaderValue { NoCache = true };
        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        if (!response.IsSuccessStatusCode) throw new Refusal(Reason.PeerUnavailable, $"{path} answered {(int)response.StatusCode}");
        await using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
        var buffer = new MemoryStream();
        var some = new byte[8192];
        while (await body.ReadAsync(some, cancellationToken) is var read and > 0)
        {
            buffer.Write(some, 0, read);
            if (buffer.Length > MostBytes) throw new Refusal(Reason.SigningConfigInvalid, $"{path} is larger than {MostBytes} bytes");
        }
        return JsonDocument.Parse(buffer.GetBuffer().AsMemory(0, (int)buffer.Length), new JsonDocumentOptions { MaxDepth = 8, AllowDuplicateProperties = false });
    }
}
