using System.Security.Cryptography;
using System.Text.Json;
using ClawBureau.Client.Keys;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Tokens;
using KeyId = ClawBureau.Tokens.KeyId;

namespace ClawBureau.Verifier;

/// <summary>A key transparency snapshot whose hash and signature are good. Everything but its id is read from the signed bytes.</summary>
/// <param name="NotAfter">Cut-offs in epoch seconds, inclusive, of the keys that have one.</param>
public sealed record Transparency(string SnapshotId, DateTimeOffset GeneratedAt, string ActiveKid, IReadOnlyList<string> AcceptedKids, IReadOnlyDictionary<string, long> NotAfter);

/// <summary>
/// The latest key transparency snapshot of the Issuer. It is fetched again when it is half as old as it may be, when the keys
/// changed, and when a token's key is not in it; while the Issuer is down, the one that is held serves until it is too old.
/// </summary>
public sealed class TransparencyCache(VerifierPeers peers, KeyCache keys, VerifierOptions options, TimeProvider time)
{
    private readonly Lock _lock = new();
    private Task<Transparency>? _underWay;      // locked
    private volatile Held? _held;

    /// <exception cref="Refusal">DEPENDENCY_NOT_CONFIGURED: there is none, or it is not what it should be.</exception>
    public async Task<Transparency> ReadAsync(KeyId observed, CancellationToken cancellationToken)
    {
        var held = _held;
        bool isCurrent = held is not null
            && held.KeysSeq == keys.Held.Seq
            && time.GetUtcNow() - held.Snapshot.GeneratedAt < options.TransparencyMaxAge / 2
            && held.Snapshot.AcceptedKids.Contains(observed.ToString());
        if (isCurrent) return held!.Snapshot;
        Task<Transparency> fetch;
        lock (_lock) fetch = _underWay ??= Task.Run(FetchAsync, CancellationToken.None);
        try
        {
            return await fetch.WaitAsync(cancellationToken);
        }
        catch (Refusal refusal)
        {
            // What is held serves on, unless the answer is about just what it lacks, or what came instead is not to be trusted.
            bool serves = refusal.Reason != Reason.DependencyNotConfigured && held is not null && held.Snapshot.AcceptedKids.Contains(observed.ToString())
                && time.GetUtcNow() - held.Snapshot.GeneratedAt <= options.TransparencyMaxAge;
            return serves ? held!.Snapshot : throw new Refusal(Reason.DependencyNotConfigured, $"The key transparency snapshot cannot be had: {refusal.Message}", inner: refusal);
        }
    }

    private async Task<Transparency> FetchAsync()
    {
        try
        {
            long keysSeq = keys.Held.Seq;
            var answer = await peers.IssuerCalls.AskAsync(token => peers.Keys.GetTransparencySnapshotAsync(new(), cancellationToken: token).ResponseAsync, CancellationToken.None);
            var snapshot = Read(answer.Snapshot);
            _held = new Held(snapshot, keysSeq);
            return snapshot;
        }
        finally
        {
            lock (_lock) _underWay = null;
        }
    }

    /// <exception cref="Refusal">DEPENDENCY_NOT_CONFIGURED: hash, signature or form is wrong.</exception>
    private Transparency Read(TransparencySnapshot snapshot)
    {
        var payload = snapshot.PayloadJson.Span;
        if (Base64UrlText.Encode(SHA256.HashData(payload)) != snapshot.SnapshotHashB64U) throw NotGood("its hash is another one");
        var signature = new byte[Ed25519.SignatureLength];
        if (!Base64UrlText.TryDecode(snapshot.SignatureB64U, signature, out int length) || length != signature.Length
            || !KeyId.TryParse(snapshot.SignerKid, out var signer) || keys.Held.Keys.Find(signer) is not { } key || !key.Verify(payload, signature))
        {
            throw NotGood("no key of the Issuer signed it");
        }
        try
        {
            using var json = JsonDocument.Parse(snapshot.PayloadJson.Memory);
            var root = json.RootElement;
            return new Transparency(
                snapshot.SnapshotId,
                DateTimeOffset.FromUnixTimeSeconds(root.GetProperty("generated_at").GetInt64()),
                root.GetProperty("active_kid").GetString()!,
                [.. root.GetProperty("accepted_kids").EnumerateArray().Select(kid => kid.GetString()!)],
                root.GetProperty("expiring_kids").EnumerateArray().ToDictionary(one => one.GetProperty("kid").GetString()!, one => one.GetProperty("not_after_unix").GetInt64()));
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or ArgumentException)
        {
            throw NotGood("it is not in the form of the contract", e);
        }
    }

    private static Refusal NotGood(string why, Exception? inner = null) => new(Reason.DependencyNotConfigured, $"The key transparency snapshot cannot be used: {why}", inner: inner);

    private sealed record Held(Transparency Snapshot, long KeysSeq);
}
