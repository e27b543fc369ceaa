using System.Security.Cryptography;
using ClawBureau.Ledger;
using ClawBureau.Ledger.Reading;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer;

/// <summary>
/// Says, signed and chained, which keys were accepted since when (clawscope-http.md 4.3). A change of the keys is followed by a
/// snapshot at once; without one, another is made when the latest gets too old. Replicas that make one at the same time make one.
/// </summary>
public sealed class KeyTransparency(LedgerReads ledger, IssuerOptions options, ILogger<KeyTransparency> log)
{
    private const int MostAttempts = 20;
    private readonly KeySnapshots _snapshots = new(ledger.Source);
    private volatile KeySnapshotRow? _known;        // the latest that this process saw

    /// <summary>True when no snapshot is due, as far as this process knows: spares the keeper a look at every beat.</summary>
    public bool IsCurrent(KeyReading reading) => _known is { } known && IsCurrent(known, reading);

    /// <summary>The latest, which is current: made now, if it must be.</summary>
    /// <exception cref="Refusal">SIGNING_NOT_CONFIGURED; KEY_TRANSPARENCY_UNAVAILABLE.</exception>
    public Task<KeySnapshotRow> LatestAsync(CancellationToken cancellationToken) => AppendAsync(evenIfCurrent: false, cancellationToken);

    /// <summary>A new one.</summary>
    /// <exception cref="Refusal">As of <see cref="LatestAsync"/>.</exception>
    public Task<KeySnapshotRow> CreateAsync(CancellationToken cancellationToken) => AppendAsync(evenIfCurrent: true, cancellationToken);

    /// <exception cref="Refusal">TRANSPARENCY_SNAPSHOT_NOT_FOUND; KEY_TRANSPARENCY_UNAVAILABLE.</exception>
    public async Task<KeySnapshotRow> FindAsync(string snapshotId, CancellationToken cancellationToken) =>
        await AskAsync(() => _snapshots.FindAsync(snapshotId, cancellationToken)) ?? throw new Refusal(Reason.TransparencySnapshotNotFound);

    /// <summary>Newest first, with smaller numbers than <paramref name="before"/>.</summary>
    /// <exception cref="Refusal">KEY_TRANSPARENCY_UNAVAILABLE.</exception>
    public Task<IReadOnlyList<KeySnapshotRow>> ListAsync(long before, int most, CancellationToken cancellationToken) =>
        AskAsync(() => _snapshots.ListAsync(before, most, cancellationToken));

    private Task<KeySnapshotRow> AppendAsync(bool evenIfCurrent, CancellationToken cancellationToken) => AskAsync(async () =>
    {
        for (int attempt = 0; attempt < MostAttempts; attempt++)
        {
            var last = await _snapshots.ReadLatestAsync(cancellationToken);
            var reading = await ledger.Reader.ReadKeyStatesAsync(cancellationToken);
            if (!evenIfCurrent && last is not null && IsCurrent(last, reading)) return _known = last;
            var next = await MakeAsync(last, reading, cancellationToken);
            if (!await _snapshots.TryAppendAsync(next, cancellationToken)) continue;
            Log.SnapshotMade(log, next.SnapshotId, next.Number);
            return _known = next;
        }
        throw new Refusal(Reason.KeyTransparencyUnavailable);
    });

    private bool IsCurrent(KeySnapshotRow row, KeyReading reading) =>
        row.KeysSeq == reading.Seq && reading.Now.ToUnixTimeSeconds() - row.GeneratedAt <= options.TransparencyRefresh.TotalSeconds;

    private async Task<KeySnapshotRow> MakeAsync(KeySnapshotRow? last, KeyReading reading, CancellationToken cancellationToken)
    {
        // Within the chain time never goes back, whatever clock the database has now.
        var at = DateTimeOffset.FromUnixTimeSeconds(Math.Max(reading.Now.ToUnixTimeSeconds(), last?.GeneratedAt ?? 0));
        var contract = reading.States.ContractAt((long)options.KeyOverlap.TotalSeconds, at);
        var signer = options.Keys.Find(contract.ActiveKid)
            ?? throw new Refusal(Reason.KeyTransparencyUnavailable, $"The active key {contract.ActiveKid} is not among this Issuer's keys: it cannot sign a snapshot");
        var snapshot = KeyTransparencySnapshot.Create(contract, signer, at);
        var payload = snapshot.SignedPayload();
        long number = (last?.Number ?? 0) + 1;
        var hash = SHA256.HashData(payload);
        var chainHash = KeyTransparencyChain.HashOf(number, last?.ChainHash, hash);
        long before = await _snapshots.CountAsync(snapshot.GeneratedAt, contract.ActiveKid, cancellationToken);
        return new KeySnapshotRow
        {
            Number = number,
            SnapshotId = before == 0 ? snapshot.Id : $"{snapshot.Id}_{before + 1}",
            GeneratedAt = snapshot.GeneratedAt,
            ActiveKid = contract.ActiveKid,
            KeysSeq = reading.Seq,
            Payload = payload,
            SnapshotHash = hash,
            SignerKid = signer.KeyId,
            Signature = signer.Sign(payload),
            PreviousChainHash = last?.ChainHash,
            ChainHash = chainHash,
            ChainSignature = signer.Sign(KeyTransparencyChain.SignedText(chainHash)),
        };
    }

    private static async Task<T> AskAsync<T>(Func<Task<T>> ask)
    {
        try
        {
            return await ask();
        }
        catch (Exception e) when (e is Npgsql.NpgsqlException or TimeoutException)
        {
            throw new Refusal(Reason.KeyTransparencyUnavailable, inner: e);
        }
    }
}
