using ClawBureau.Hosting;
using ClawBureau.Ledger;
using ClawBureau.Ledger.Reading;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer;

/// <summary>What an operator asks of a rotation.</summary>
public sealed record RotationOrder(TimeSpan? Overlap, bool Emergency, KeyId? ExpectedActive, string? Reason, ActingCaller Caller, Correlation Correlation);

/// <summary>What became of a change of the keys.</summary>
/// <param name="After">The keys as they stand after it.</param>
/// <param name="KeyId">The key it was about.</param>
/// <param name="At">When it takes effect.</param>
/// <param name="WasSo">Nothing had to be changed.</param>
public sealed record KeyChange(KeyReading After, KeyId KeyId, DateTimeOffset At, bool WasSo);

/// <summary>
/// Moves the keys through their states. What has to change is worked out from the ledger's states (<see cref="KeyStates"/>) and
/// recorded while those still stand, so it does not matter which replica does it, nor how many try.
/// </summary>
public sealed class KeyKeeper(LedgerReads ledger, LedgerWriter writer, ControlViews views, IssuerOptions options, KeyTransparency transparency, AlgorithmNames algorithms, ILogger<KeyKeeper> log)
{
    private static readonly ActingCaller Own = new("service:issuer", null, null);
    private const int MostAttempts = 10;
    private const int BeatsBetweenNames = 10;
    private string? _complaint;                 // the last thing that was wrong, so that it is logged once
    private int _beats;

    /// <summary>States what this process's configuration or folder holds, before it serves.</summary>
    /// <exception cref="InvalidOperationException">The key it is configured to sign with is retired.</exception>
    /// <exception cref="Refusal">LEDGER_*.</exception>
    public async Task AnnounceAsync(CancellationToken cancellationToken)
    {
        await algorithms.RefreshAsync(cancellationToken);
        await ChangeAsync(Own, Correlation.None, null, reading =>
        {
            if (options.Keys.Ring is not { } ring) return new Change(AppearedIn(reading.States));
            if (reading.States.Find(ring.Active.KeyId) is { State: KeyState.Retired })
                throw new InvalidOperationException($"Key {ring.Active.KeyId} is retired in the ledger: take it out of the configuration.");
            long cutOff = CutOff(reading);
            return new Change(reading.States.Configured(ring, cutOff)) { LongestExp = cutOff };
        }, cancellationToken);
        await views.RefreshAsync(cancellationToken);
        var active = views.Current!.ActiveKey;
        int known = (await ledger.Reader.ReadKeysAsync(cancellationToken)).Count;
        Log.KeysAnnounced(log, active, known, Ed25519.Backend);
        if (SecretMemory.Flaw is { } flaw) Log.SeedsNotLocked(log, flaw);
        Complain(active is { } kid && options.Keys.Find(kid) is null ? KeySource.MissingSeed(kid) : null);
    }

    /// <summary>What is due at this moment: seeds that appeared, a key to activate, keys past their cut-off, a snapshot of it all.</summary>
    public async Task TendAsync(CancellationToken cancellationToken)
    {
        string? complaint = null;
        try
        {
            options.Keys.Reload();
        }
        catch (StartRefused refused)            // what was read before goes on
        {
            complaint = refused.Message;
        }
        if (_beats++ % BeatsBetweenNames == 0) await algorithms.RefreshAsync(cancellationToken);

        var reading = await ledger.Reader.ReadKeyStatesAsync(cancellationToken);
        if (DueOf(reading).Keys.Count > 0)
            reading = (await ChangeAsync(Own, Correlation.None, null, DueOf, cancellationToken)).After;
        DestroyRetired(reading.States, ref complaint);
        if (reading.States.Active is { } active && options.Keys.Find(active.KeyId) is null) complaint ??= KeySource.MissingSeed(active.KeyId);
        else if (reading.States.Active is not null && !transparency.IsCurrent(reading))
        {
            try
            {
                await transparency.LatestAsync(cancellationToken);
            }
            catch (Refusal refusal)
            {
                complaint ??= refusal.Message;
            }
        }
        Complain(complaint);
    }

    /// <summary>Begins a rotation, or says when the one that has begun is done.</summary>
    /// <exception cref="Refusal">KEY_SOURCE_READ_ONLY; KEY_STATE_CONFLICT; KEY_NEXT_MISSING; SIGNING_CONFIG_INVALID; LEDGER_*.</exception>
    public async Task<KeyChange> RotateAsync(RotationOrder order, CancellationToken cancellationToken)
    {
        if (options.Keys.Folder is not { } folder) throw new Refusal(Reason.KeySourceReadOnly);
        Reload();
        SigningKey? made = null;
        KeyEntry? next = null;
        long activatesAt = 0;
        var (after, outcome) = await ChangeAsync(order.Caller, order.Correlation, order.Reason, reading =>
        {
            var states = reading.States;
            if (order.ExpectedActive is { } expected && states.Active?.KeyId != expected)
                throw new Refusal(Reason.KeyStateConflict, $"The active key is {(states.Active is { } other ? other.KeyId.ToString() : "none")}, not {expected}");
            var appeared = AppearedIn(states);
            states = states.With(appeared);
            next = states.Next is { } known && IsHeld(known.KeyId) ? known : Generated();
            if (states.Keys.Count(key => key.State != KeyState.Retired) >= TokenLimits.MaxKeys)
                throw new Refusal(Reason.KeyStateConflict, $"There are {TokenLimits.MaxKeys} keys that are accepted: wait for cut-offs to pass, or revoke some");

            long now = reading.Now.ToUnixTimeSeconds(), cutOff = CutOff(reading);
            // Every copy of the JWKS that lacks the key must have expired; unless there is no time for that.
            activatesAt = order.Emergency ? now : next.ActivatesAt ?? Math.Max(now, (next.PublishedAt ?? now + 1) + (long)Math.Ceiling((options.JwksMaxAge + options.ActivationMargin).TotalSeconds));
            var begun = states.Rotating(next, activatesAt, order.Overlap is { } overlap ? (long)overlap.TotalSeconds : next.Overlap);
            states = states.With(begun);
            var changes = appeared.Concat(begun).Concat(activatesAt <= now ? states.Due(now, cutOff, IsHeld) : []);
            return new Change([.. changes.GroupBy(key => key.KeyId).Select(stated => stated.Last())]) { LongestExp = order.Overlap is null && activatesAt <= now ? cutOff : null };
        }, cancellationToken);
        return new KeyChange(after, next!.KeyId, DateTimeOffset.FromUnixTimeSeconds(activatesAt), outcome is null);

        KeyEntry Generated()
        {
            try
            {
                made ??= folder.Generate();
                options.Keys.Reload();
            }
            catch (StartRefused refused)
            {
                throw new Refusal(Reason.KeyNextMissing, $"There is no next key to activate, and none can be made: {refused.Message}", inner: refused);
            }
            return KeyEntry.Of(made.VerificationKey, KeyState.Next);
        }
    }

    /// <summary>Retires a key at once and revokes every token it signed, in one act.</summary>
    /// <exception cref="Refusal">KEY_NOT_FOUND; KEY_STATE_CONFLICT; LEDGER_*.</exception>
    public async Task<KeyChange> RevokeAsync(KeyId keyId, bool allowLast, string? reason, ActingCaller caller, Correlation correlation, CancellationToken cancellationToken)
    {
        var (after, outcome) = await ChangeAsync(caller, correlation, reason, reading => reading.States.Find(keyId) is { IsRevoked: true }
            ? new Change([])
            : new Change(reading.States.Revoked(keyId, allowLast, IsHeld)) { Revoked = keyId }, cancellationToken);
        if (outcome is not null) Log.KeyRevoked(log, keyId, outcome.Seq, outcome.RevocationSeq, caller.Name);
        return new KeyChange(after, keyId, outcome?.RecordedAt ?? after.Now, outcome is null);
    }

    private sealed record Change(IReadOnlyList<KeyEntry> Keys)
    {
        public long? LongestExp { get; init; }
        public KeyId? Revoked { get; init; }
    }

    private Change DueOf(KeyReading reading)
    {
        var appeared = AppearedIn(reading.States);
        if (appeared.Count > 0) return new Change(appeared);       // what is due besides is due at the next beat too
        long now = reading.Now.ToUnixTimeSeconds(), cutOff = CutOff(reading);
        var due = reading.States.Due(now, cutOff, IsHeld);
        bool replaces = due.Any(key => key.State == KeyState.Active) && reading.States.Next is { Overlap: null };
        return new Change(due) { LongestExp = replaces ? cutOff : null };
    }

    /// <summary>Works a change out and records it; where the keys moved meanwhile, works it out again.</summary>
    /// <returns>The keys after it, and the ledger's answer; null when there was nothing to change.</returns>
    private async Task<(KeyReading After, ActOutcome? Outcome)> ChangeAsync(
        ActingCaller caller, Correlation correlation, string? reason, Func<KeyReading, Change> workOut, CancellationToken cancellationToken)
    {
        for (int attempt = 0; attempt < MostAttempts; attempt++)
        {
            var reading = await ledger.ReadAsync(reader => reader.ReadKeyStatesAsync(cancellationToken));
            var change = workOut(reading);
            if (change.Keys.Count == 0) return (reading, null);
            var outcome = await writer.AppendAsync(new KeyAct
            {
                Caller = caller.Name,
                CallerToken = caller.Token,
                Correlation = correlation,
                Keys = change.Keys,
                JudgedAtKeysSeq = reading.Seq,
                LongestExp = change.LongestExp,
                Revoked = change.Revoked,
                Reason = reason,
            }, cancellationToken);
            if (outcome.Verdict == Verdict.KeysMoved) continue;
            foreach (var key in change.Keys) Log.KeyStated(log, key.KeyId, key.State, outcome.Seq, caller.Name);
            await ledger.ReadAsync(async _ =>
            {
                await views.RefreshAsync(cancellationToken);
                return true;
            });
            return (await ledger.ReadAsync(reader => reader.ReadKeyStatesAsync(cancellationToken)), outcome);
        }
        throw new Refusal(Reason.KeyStateConflict, "The keys are being changed by somebody else again and again; try once more");
    }

    private List<KeyEntry> AppearedIn(KeyStates states)
    {
        if (options.Keys.Folder is null) return [];
        var found = states.Found(options.Keys.Held.Select(key => key.VerificationKey));
        return [.. found, .. states.With(found).Foreign(options.Keys.VerifyOnly)];
    }

    private long CutOff(KeyReading reading) =>
        KeyStates.CutOff(reading.Now.ToUnixTimeSeconds(), reading.LongestExp, (long)Math.Ceiling(options.KeyOverlap.TotalSeconds));

    private bool IsHeld(KeyId keyId) => options.Keys.Find(keyId) is not null;

    private void Reload()
    {
        try
        {
            options.Keys.Reload();
        }
        catch (StartRefused refused)
        {
            throw new Refusal(Reason.SigningConfigInvalid, refused.Message, inner: refused);
        }
    }

    /// <summary>A retired key never comes back: what is left of it is a secret to lose.</summary>
    private void DestroyRetired(KeyStates states, ref string? complaint)
    {
        if (options.Keys.Folder is not { } folder) return;
        foreach (var key in options.Keys.Held.Where(key => states.Find(key.KeyId) is { State: KeyState.Retired }))
        {
            try
            {
                folder.Destroy(key.KeyId);
                Log.SeedDestroyed(log, key.KeyId);
            }
            catch (StartRefused refused)
            {
                complaint ??= refused.Message;
            }
        }
    }

    private void Complain(string? complaint)
    {
        if (complaint is not null && complaint != _complaint) Log.KeysNotRight(log, complaint);
        _complaint = complaint;
    }
}
