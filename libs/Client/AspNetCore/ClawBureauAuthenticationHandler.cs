using System.Security.Claims;
using System.Text.Encodings.Web;
using ClawBureau.Client.Feed;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Tokens;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace ClawBureau.Client.AspNetCore;

/// <summary>
/// Authenticates requests by their scoped token. No token: no result, another scheme may know better. A token that is not good: 401
/// with its reason. A token about which nothing can be said freshly enough: 503, and never an identity.
/// </summary>
public sealed class ClawBureauAuthenticationHandler(
    IOptionsMonitor<ClawBureauAuthenticationOptions> options, ILoggerFactory logger, UrlEncoder encoder, TokenVerifier verifier, TokenWatches watches)
    : AuthenticationHandler<ClawBureauAuthenticationOptions>(options, logger, encoder)
{
    protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        try
        {
            var token = ScopedTokenHeaders.Read(name => Request.Headers[name].OfType<string>());
            if (token is null) return AuthenticateResult.NoResult();
            var verification = await verifier.VerifyAsync(token, Options.Requirements, Options.Freshness, Context.RequestAborted);
            if (!verification.IsValid) return AuthenticateResult.Fail(verification.ToRefusal());
            Context.Features.Set(new VerifiedRequest(verification));
            if (Options.AbortOnRevocation) AbortWhenRevoked(verification);
            return AuthenticateResult.Success(new AuthenticationTicket(PrincipalOf(verification.Claims, verification.TokenHash), Scheme.Name));
        }
        catch (Refusal refusal)
        {
            return AuthenticateResult.Fail(refusal);
        }
    }

    protected override async Task HandleChallengeAsync(AuthenticationProperties properties)
    {
        var failure = (await HandleAuthenticateOnceSafeAsync()).Failure;
        if (failure is not Refusal refusal)
        {
            await AnswerAsync(StatusCodes.Status401Unauthorized, new Refusal(Reason.TokenRequired));
            return;
        }
        var status = ReasonCatalog.Of(refusal.Reason).HttpStatus;
        // What is not for the token's holder to mend is not his fault either; the rest is 401 or, for what it lacks, 403.
        await AnswerAsync(status is >= 500 or StatusCodes.Status403Forbidden ? status : StatusCodes.Status401Unauthorized, refusal);
    }

    protected override Task HandleForbiddenAsync(AuthenticationProperties properties) =>
        AnswerAsync(StatusCodes.Status403Forbidden, new Refusal(Reason.TokenInsufficientScope));

    private Task AnswerAsync(int status, Refusal refusal)
    {
        var entry = ReasonCatalog.Of(refusal.Reason);
        Response.StatusCode = status;
        if (status == StatusCodes.Status401Unauthorized) Response.Headers.WWWAuthenticate = refusal.Reason == Reason.TokenRequired ? "Bearer" : "Bearer error=\"invalid_token\"";
        if (status == StatusCodes.Status403Forbidden) Response.Headers.WWWAuthenticate = "Bearer error=\"insufficient_scope\"";
        Response.Headers.CacheControl = "no-store";
        return Response.WriteAsJsonAsync(new RefusedRequest(entry.Code, refusal.Sentence ?? entry.Sentence), Context.RequestAborted);
    }

    private void AbortWhenRevoked(Verification verification)
    {
        var context = Context;
        var watch = watches.Add(verification.TokenHash, verification.Claims!, verification.KeyId, _ => context.Abort());
        Response.RegisterForDispose(watch);
    }

    private ClaimsPrincipal PrincipalOf(TokenClaims claims, TokenHash hash)
    {
        var identity = new ClaimsIdentity(Scheme.Name, "sub", "scope");
        Add("sub", claims.Sub);
        Add(ClaimTypes.NameIdentifier, claims.Sub);
        foreach (var audience in claims.Audience.Values) Add("aud", audience);
        foreach (var scope in claims.Scope) Add("scope", scope);
        Add("owner_did", claims.OwnerDid?.ToString());
        Add("controller_did", claims.ControllerDid?.ToString());
        Add("agent_did", claims.AgentDid?.ToString());
        Add("mission_id", claims.MissionId);
        Add("delegation_id", claims.Delegation?.Id);
        Add("jti", claims.Jti);
        Add("token_hash", hash.ToString());
        return new ClaimsPrincipal(identity);

        void Add(string type, string? value)
        {
            if (value is not null) identity.AddClaim(new Claim(type, value, ClaimValueTypes.String, Scheme.Name));
        }
    }

    /// <summary>The body of a refusal, in the form of the suite's own HTTP face.</summary>
    private sealed record RefusedRequest(string Error, string Message);
}

/// <summary>A feature of requests that were authenticated here: <c>context.Features.Get&lt;VerifiedRequest&gt;()</c>.</summary>
/// <param name="Verification">With how fresh it was.</param>
public sealed record VerifiedRequest(Verification Verification);
