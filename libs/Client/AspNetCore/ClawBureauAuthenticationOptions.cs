using Microsoft.AspNetCore.Authentication;

namespace ClawBureau.Client.AspNetCore;

/// <summary>What a request's token must be.</summary>
public sealed class ClawBureauAuthenticationOptions : AuthenticationSchemeOptions
{
    /// <summary>Asked of every token; endpoints may ask for more with policies over the claims <c>scope</c>, <c>owner_did</c> …. Default nothing.</summary>
    public TokenRequirements Requirements { get; set; } = TokenRequirements.None;

    /// <summary>How fresh the revocation state must be. Default: within <see cref="ClientOptions.MaxStaleness"/>.</summary>
    public Freshness Freshness { get; set; } = Freshness.Default;

    /// <summary>
    /// Whether a request that is still under way is aborted when its token is revoked: streams, long polls, WebSockets. Default true.
    /// </summary>
    public bool AbortOnRevocation { get; set; } = true;
}
