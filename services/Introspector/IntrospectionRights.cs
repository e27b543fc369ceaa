using System.Threading.RateLimiting;
using ClawBureau.Hosting.Callers;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector;

/// <summary>
/// What a caller is told of a token (DESIGN "Callers"): whether it is good, everybody whom the caller table admits; its claims,
/// the suite's own services, operators, and services that the token is for. The Edge without a credential stands for the public,
/// which is a switch and has a rate of its own.
/// </summary>
public sealed class IntrospectionRights(IntrospectorOptions options) : IDisposable
{
    private static readonly HashSet<string> OwnServices = new(StringComparer.Ordinal)
    {
        "issuer", "introspector", "verifier", "auditsink", Caller.Service.Edge, "operator",
    };

    private readonly TokenBucketRateLimiter _public = new(new TokenBucketRateLimiterOptions
    {
        TokenLimit = 2 * options.PublicRate,
        TokensPerPeriod = Math.Max(1, options.PublicRate / 10),
        ReplenishmentPeriod = TimeSpan.FromSeconds(options.PublicRate < 10 ? 1.0 / options.PublicRate : 0.1),
    });

    /// <exception cref="Refusal">CREDENTIAL_REQUIRED: introspection is not public here; RATE_LIMITED.</exception>
    public CallerRights Of(Caller caller)
    {
        if (caller is not Caller.Service service) return CallerRights.All;
        if (service.ServiceName == Caller.Service.Edge)
        {
            if (!options.IsIntrospectionPublic) throw new Refusal(Reason.CredentialRequired, "Introspection is not public here (SCOPE_INTROSPECT_AUTH=required)");
            using var lease = _public.AttemptAcquire();
            if (!lease.IsAcquired) throw new Refusal(Reason.RateLimited, "Too many introspections without a credential; try again in a moment");
            return CallerRights.All;
        }
        if (OwnServices.Contains(service.ServiceName)) return CallerRights.All;
        return new CallerRights(options.ServiceAudiences.GetValueOrDefault(service.ServiceName) ?? [service.ServiceName]);
    }

    public void Dispose() => _public.Dispose();
}

/// <summary>Of which tokens a caller is told the claims.</summary>
/// <param name="Audiences">Those for one of these audiences; null: of all.</param>
public sealed record CallerRights(IReadOnlyList<string>? Audiences)
{
    public static readonly CallerRights All = new((IReadOnlyList<string>?)null);

    public bool Covers(TokenClaims claims) => Audiences is null || claims.Audience.Values.Any(Audiences.Contains);
}
