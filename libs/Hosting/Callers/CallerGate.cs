using ClawBureau.Hosting.Refusals;
using ClawBureau.Hosting.Tls;
using ClawBureau.Tokens;
using Grpc.Core;
using Microsoft.AspNetCore.Http;

namespace ClawBureau.Hosting.Callers;

/// <summary>
/// Finds out who calls and asks the table. A credential in the metadata goes before the certificate of the connection: the Edge
/// forwards other people's credentials over its own, and a wrong key or token must not fall back to something stronger.
/// </summary>
internal sealed class CallerGate(CallerTable table, AdminKeys adminKeys, ICallerTokens tokens, ProcessOptions options, TimeProvider time)
{
    private static readonly Caller Anonymous = new Caller.Anonymous();

    /// <exception cref="Refusal">The caller is unknown (UNAUTHENTICATED), the table does not admit him (PERMISSION_DENIED), or his
    /// token cannot be judged now.</exception>
    public ValueTask<Caller> AdmitAsync(string rpc, HttpContext http, CancellationToken cancellationToken)
    {
        if (!table.TryFind(rpc, out var rule))
            throw new Refusal(Reason.CallerNotAllowed, "The caller table admits nobody to this RPC");
        return !rule.IsPublic && FindToken(rule, http.Request.Headers) is { } token
            ? new ValueTask<Caller>(AdmitTokenAsync(rule, token, cancellationToken))
            : new ValueTask<Caller>(Admit(rule, http));
    }

    /// <summary>Asks again about a caller whose stream goes on.</summary>
    /// <returns>Null while he would still be admitted; else why his stream ends: CREDENTIAL_EXPIRED, or that it cannot be judged.</returns>
    public async Task<Refusal?> FindEndAsync(string rpc, Caller caller, HttpContext http, CancellationToken cancellationToken)
    {
        if (caller is not Caller.Token) return StillAdmits(rpc, caller) ? null : new Refusal(Reason.CredentialExpired);
        try
        {
            return await AdmitAsync(rpc, http, cancellationToken) is Caller.Token ? null : new Refusal(Reason.CredentialExpired);
        }
        catch (Refusal refusal)
        {
            var code = ReasonCatalog.Of(refusal.Reason).GrpcCode;
            return code is StatusCode.Unauthenticated or StatusCode.PermissionDenied ? new Refusal(Reason.CredentialExpired, inner: refusal) : refusal;
        }
    }

    private Caller Admit(May rule, HttpContext http)
    {
        var peer = http.Features.Get<PeerIdentity>() ?? PeerIdentity.None;
        if (rule.IsPublic) return peer.Service is { } known && known.ExpiresAt > time.GetUtcNow() ? known : Anonymous;

        var authorization = http.Request.Headers.Authorization.ToString();
        if (authorization.Length > 0) return AdmitKey(rule, authorization);
        if (peer.Flaw is { } flaw) throw new Refusal(Reason.CredentialInvalid, flaw);
        if (peer.Service is { } service)
        {
            if (service.ExpiresAt <= time.GetUtcNow()) throw new Refusal(Reason.CredentialExpired, "The client certificate of this connection has expired");
            if (rule.Admits(service)) return service;
            if (service.ServiceName != Caller.Service.Edge)
                throw new Refusal(Reason.CallerNotAllowed, $"The service {service.ServiceName} may not call this RPC");
        }

        // Nobody, or the Edge without a forwarded credential: the same answer.
        if (rule.AdminScopes.Count > 0) adminKeys.Authenticate(null);
        throw new Refusal(Reason.CredentialRequired, "This RPC is for services with a client certificate");
    }

    /// <summary>True while a caller that was admitted still would be: its certificate has not ended, its key was not withdrawn.</summary>
    private bool StillAdmits(string rpc, Caller caller) => table.TryFind(rpc, out var rule) && caller switch
    {
        Caller.Service service => rule.IsPublic || service.ExpiresAt > time.GetUtcNow(),
        Caller.AdminKey key => adminKeys.Refresh(key) is { } now && rule.Admits(now),
        _ => rule.IsPublic,
    };

    /// <returns>The token to judge; null: the call carries another credential or none.</returns>
    private string? FindToken(May rule, IHeaderDictionary headers)
    {
        if (ScopedTokenHeaders.Find(headers) is { } token) return token;
        // A key may look like a token; and where no token opens the RPC, what is shown is a key or nothing.
        var authorization = headers.Authorization.ToString();
        return rule.Tokens is not null && ScopedTokenHeaders.FindIn(authorization) is { } likeToken && !adminKeys.Knows(authorization) ? likeToken : null;
    }

    // The numbers are the rows of clawscope-http.md 0.1 C.
    private async Task<Caller> AdmitTokenAsync(May rule, string compact, CancellationToken cancellationToken)
    {
        if (rule.Tokens is not { } demand) throw new Refusal(Reason.CallerNotAllowed, "No scoped token opens this RPC");
        var token = await tokens.JudgeAsync(compact, cancellationToken); // 5
        if (token.IsRevoked) throw new Refusal(Reason.TokenRevoked); // 6
        if (token.IsForeign) throw new Refusal(Reason.TokenForeign);
        CallerTokenRules.Require(token.Claims, demand.AnyOfScopes, demand.Transitions); // 7 to 9
        RequireAudience(token.Claims);
        return new Caller.Token(token, options.OperatorOwners.Contains(token.Claims.OwnerDid!.Value));
    }

    // An option, and after every row of the contract: by default the original's answer stays.
    private void RequireAudience(TokenClaims claims)
    {
        if (options.CallerAudiences.Count == 0 || claims.Audience.Values.Any(options.CallerAudiences.Contains)) return;
        throw new Refusal(Reason.TokenBadAudience, metadata: new Dictionary<string, string> { ["required"] = string.Join(" or ", options.CallerAudiences.Order(StringComparer.Ordinal)) });
    }

    private Caller.AdminKey AdmitKey(May rule, string authorization)
    {
        if (rule.AdminScopes.Count == 0) throw new Refusal(Reason.CallerNotAllowed, "No admin key opens this RPC");
        var key = adminKeys.Authenticate(authorization);
        if (rule.Admits(key)) return key;
        var required = string.Join(" or ", rule.AdminScopes);
        throw new Refusal(
            Reason.CallerNotAllowed,
            $"The admin key {key.KeyName} lacks the scope {required}",
            new Dictionary<string, string> { ["required"] = required });
    }
}
