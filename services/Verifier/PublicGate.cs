using System.Threading.RateLimiting;
using ClawBureau.Hosting.Callers;
using ClawBureau.Tokens;

namespace ClawBureau.Verifier;

/// <summary>Whether the public may verify, and how often: what the Edge asks without anybody's credential (control-plane-http.md 3: open to anyone).</summary>
internal sealed class PublicGate(VerifierOptions options) : IDisposable
{
    private readonly TokenBucketRateLimiter _limiter = new(new TokenBucketRateLimiterOptions
    {
        TokenLimit = options.PublicPerSecond,
        TokensPerPeriod = Math.Max(1, options.PublicPerSecond / 10),
        ReplenishmentPeriod = TimeSpan.FromMilliseconds(100),
        QueueLimit = 0,
        AutoReplenishment = true,
    });

    /// <exception cref="Refusal">CALLER_NOT_ALLOWED: public verification is switched off. RATE_LIMITED.</exception>
    public void Admit(Caller caller)
    {
        if (caller is not Caller.Service { ServiceName: Caller.Service.Edge }) return;
        if (!options.IsPublic) throw new Refusal(Reason.CallerNotAllowed, "Public verification is switched off");
        using var lease = _limiter.AttemptAcquire();
        if (!lease.IsAcquired) throw new Refusal(Reason.RateLimited);
    }

    public void Dispose() => _limiter.Dispose();
}
