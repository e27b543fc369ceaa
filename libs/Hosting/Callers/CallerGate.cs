using ClawBureau.Hosting.Tls;
using ClawBureau.Tokens;
using Microsoft.AspNetCore.Http;

namespace ClawBureau.Hosting.Callers;

/// <summary>
/// Finds out who calls and asks the table. A credential in the metadata goes before the certificate of the connection: the Edge
/// forwards other people's credentials over its own, and a wrong key must not fall back to something stronger.
/// </summary>
internal sealed class CallerGate(CallerTable table, AdminKeys adminKeys, TimeProvider time)
{
    private static readonly Caller Anonymous = new Caller.Anonymous();

    /// <summary>For a scoped token presented as credential: no RPC takes one in this version.</summary>
    public static Refusal TokensAreNotCredentialsYet() =>
        new(Reason.CredentialInvalid, "This version does not take scoped tokens as credentials: use an admin key or a client certificate");

    /// <exception cref="Refusal">The caller is unknown (UNAUTHENTICATED) or the table does not admit him (PERMISSION_DENIED).</exception>
    public Caller Admit(string rpc, HttpContext http)
    {
        if (!table.TryFind(rpc, out var rule))
            throw new Refusal(Reason.CallerNotAllowed, "The caller table admits nobody to this RPC");
        var peer = http.Features.Get<PeerIdentity>() ?? PeerIdentity.None;
        if (rule.IsPublic) return peer.Service is { } known && known.ExpiresAt > time.GetUtcNow() ? known : Anonymous;

        var headers = http.Request.Headers;
        if (headers.ContainsKey("x-cst") || headers.ContainsKey("x-scoped-token")) throw TokensAreNotCredentialsYet();
        var authorization = headers.Authorization.ToString();
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
    public bool StillAdmits(string rpc, Caller caller) => table.TryFind(rpc, out var rule) && caller switch
    {
        Caller.Service service => rule.IsPublic || service.ExpiresAt > time.GetUtcNow(),
        Caller.AdminKey key => adminKeys.Refresh(key) is { } now && rule.Admits(now),
        _ => rule.IsPublic,
    };

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
