using System.Diagnostics.CodeAnalysis;
using ClawBureau.Client.Keys;
using ClawBureau.Tokens;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Client;

/// <summary>A token as it was issued. Prints as its hash.</summary>
/// <param name="Compact">The compact text: what is shown to others.</param>
public sealed record IssuedToken(string Compact, TokenHash TokenHash, DateTimeOffset IssuedAt, DateTimeOffset ExpiresAt)
{
    public override string ToString() => TokenHash.ToString();
}

/// <summary>Gets one new token; every call asks for another one.</summary>
public interface ITokenIssuer
{
    /// <exception cref="Refusal">None can be had.</exception>
    Task<IssuedToken> IssueAsync(CancellationToken cancellationToken);
}

/// <summary>
/// Holds a token and renews it. However many ask, one request for a new one is under way. It is renewed at 80 % of its lifetime, with
/// jitter, never later than 50 minutes of 60, whether or not somebody asks in that moment; whoever asks meanwhile gets the old one,
/// which serves until it expires. One that nobody asked for is not renewed: the next to ask waits for a new one. A token that a
/// service rejects because of its key is replaced once, in the runbook's three steps (section 5), and never shown again.
/// </summary>
/// <param name="keys">Fetched anew before a rejected token is replaced; null where this process verifies nothing.</param>
public sealed class TokenSource(ITokenIssuer issuer, KeyCache? keys, TimeProvider time, ILogger<TokenSource> log)
{
    private const double RenewAt = 0.8, Jitter = 1.0 / 30;         // 0.767 to 0.833 of the lifetime: 46 to 50 minutes of 60
    private static readonly TimeSpan LeastPause = TimeSpan.FromSeconds(1), MostPause = TimeSpan.FromSeconds(30);

    private readonly SteadyClock _clock = new(time);
    private readonly Lock _lock = new();
    private volatile Held? _held;
    private Task<Held>? _underWay;              // locked
    private int _failures;                      // locked
    private long _pausedUntil = long.MinValue;  // locked: monotonic; after a failed renewal the old token serves and nobody asks again before
    private ITimer? _alarm;                     // locked: when the held token is to be renewed, or a failed renewal to be tried again
    private Task<IssuedToken>? _replacing;      // locked
    private TokenHash? _replacement;            // locked: the latest token that took the place of a rejected one

    /// <summary>A token that is good now, without waiting; false where one has to be waited for.</summary>
    public bool TryGet([NotNullWhen(true)] out IssuedToken? token)
    {
        token = null;
        var now = _clock.UtcNow;
        if (_held is not { } held || held.Token.ExpiresAt <= now) return false;
        if (!held.IsShown) held.IsShown = true;
        if (held.RenewAt <= now) _ = BeginRenewal(mayPause: true);
        token = held.Token;
        return true;
    }

    /// <summary>A token that is good now.</summary>
    /// <exception cref="Refusal">There is none, and none can be had.</exception>
    public async ValueTask<IssuedToken> GetAsync(CancellationToken cancellationToken)
    {
        if (TryGet(out var token)) return token;
        var held = await BeginRenewal(mayPause: false).WaitAsync(cancellationToken);
        held.IsShown = true;
        return held.Token;
    }

    /// <summary>True for refusals after which the runbook's three steps help: refresh contract and JWKS, reissue, retry once.</summary>
    public static bool IsKeyRejection(Reason reason) => reason is
        Reason.TokenUnknownKid or Reason.TokenKidExpired or Reason.TokenControlKeyUnknown or Reason.TokenControlKeyExpired;

    /// <summary>
    /// Tells that a service rejected this token because of its key. The first time: (1) rotation contract and JWKS are fetched,
    /// (2) a new token is issued, which the caller (3) retries with.
    /// </summary>
    /// <returns>The token to retry with; null: this one came of such a replacement itself, so retrying again would be a loop.</returns>
    /// <exception cref="Refusal">No new token can be had.</exception>
    public async Task<IssuedToken?> ReplaceAsync(IssuedToken rejected, CancellationToken cancellationToken)
    {
        Task<IssuedToken> replacing;
        lock (_lock)
        {
            if (rejected.TokenHash == _replacement) return null;
            if (_held?.Token.TokenHash == rejected.TokenHash) _held = null;         // it is shown to nobody again
            // Somebody else was rejected with it too, or it was renewed meanwhile.
            if (_held is { } other && other.Token.ExpiresAt > _clock.UtcNow)
            {
                other.IsShown = true;
                return other.Token;
            }
            replacing = _replacing ??= Task.Run(ReplaceOnceAsync, CancellationToken.None);
        }
        return await replacing.WaitAsync(cancellationToken);
    }

    private async Task<IssuedToken> ReplaceOnceAsync()
    {
        try
        {
            try
            {
                if (keys is not null) await keys.RefreshAsync(CancellationToken.None);                  // 1
            }
            catch (Refusal)
            {
                // Logged by the cache. It is what this process verifies with; the new token does not depend on it.
            }
            var held = await BeginRenewal(mayPause: false);                                             // 2
            held.IsShown = true;
            lock (_lock) _replacement = held.Token.TokenHash;
            return held.Token;
        }
        finally
        {
            lock (_lock) _replacing = null;
        }
    }

    /// <summary>Wakes up then, and renews what was shown. Under the lock.</summary>
    private void WakeAfter(TimeSpan due)
    {
        _alarm?.Dispose();
        _alarm = time.CreateTimer(static source => ((TokenSource)source!).Wake(), this, due > TimeSpan.Zero ? due : TimeSpan.Zero, Timeout.InfiniteTimeSpan);
    }

    private void Wake()
    {
        if (_held is { IsShown: true } held && held.Token.ExpiresAt > _clock.UtcNow) _ = BeginRenewal(mayPause: true);
    }

    /// <param name="mayPause">A token is there that still serves: do not ask again so soon after a failure.</param>
    private Task<Held> BeginRenewal(bool mayPause)
    {
        lock (_lock)
        {
            if (_underWay is { } underWay) return underWay;
            if (mayPause && time.GetTimestamp() < _pausedUntil && _held is { } held) return Task.FromResult(held);
            var renewal = _underWay = Task.Run(RenewAsync, CancellationToken.None);
            _ = renewal.ContinueWith(static ended => _ = ended.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);      // nobody may be waiting
            return renewal;
        }
    }

    // Not cancelled by whoever asked first: others wait for the same token. The issuer has its own timeout.
    private async Task<Held> RenewAsync()
    {
        try
        {
            var token = await issuer.IssueAsync(CancellationToken.None);
            var lifetime = token.ExpiresAt - token.IssuedAt;
            var held = new Held(token, token.IssuedAt + lifetime * (RenewAt + (2 * Random.Shared.NextDouble() - 1) * Jitter));
            lock (_lock)
            {
                _held = held;
                _failures = 0;
                _pausedUntil = long.MinValue;
                _underWay = null;
                WakeAfter(held.RenewAt - _clock.UtcNow);
            }
            Log.TokenRenewed(log, token.TokenHash, token.ExpiresAt);
            return held;
        }
        catch (Exception e)
        {
            lock (_lock)
            {
                var pause = LeastPause * Math.Pow(2, Math.Min(_failures++, 5));
                pause = (pause < MostPause ? pause : MostPause) * (0.5 + Random.Shared.NextDouble() / 2);
                _pausedUntil = time.GetTimestamp() + (long)(pause.TotalSeconds * time.TimestampFrequency);
                _underWay = null;
                WakeAfter(pause);
            }
            Log.TokenNotRenewed(log, e is Refusal refusal ? refusal.Reason : Reason.Internal, e.Message);
            throw;
        }
    }

    private sealed class Held(IssuedToken token, DateTimeOffset renewAt)
    {
        private volatile bool _isShown;

        public IssuedToken Token => token;

        public DateTimeOffset RenewAt => renewAt;

        /// <summary>Somebody got it: whoever did will want the next one.</summary>
        public bool IsShown
        {
            get => _isShown;
            set => _isShown = value;
        }
    }
}
