using Microsoft.AspNetCore.Authentication;

namespace ClawBureau.Client.AspNetCore;

/// <summary>Adds authentication by scoped tokens to an ASP.NET Core service.</summary>
public static class ClawBureauAuthentication
{
    /// <summary>Name of the scheme.</summary>
    public const string Scheme = "ClawBureau";

    /// <summary>Needs <see cref="ClientServices.AddClawBureau"/> on the services too, which says where the suite is.</summary>
    public static AuthenticationBuilder AddClawBureau(this AuthenticationBuilder builder, Action<ClawBureauAuthenticationOptions>? configure = null) =>
        builder.AddScheme<ClawBureauAuthenticationOptions, ClawBureauAuthenticationHandler>(Scheme, configure ?? (_ => { }));
}
