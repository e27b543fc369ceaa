using ClawBureau.Tokens;

namespace ClawBureau.Hosting.Callers;

/// <summary>Whose things a caller may read and act on: a token of an owner those of its owner, everybody else admitted all (DESIGN "Callers").</summary>
public static class OwnerScopes
{
    /// <summary>True for whoever acts for no owner: admin keys, certificates, and tokens of the configured operators.</summary>
    public static bool IsUnscoped(this Caller caller) => caller is not Caller.Token { IsOperator: false };

    /// <summary>The owner DID within which a call acts; null: everybody's.</summary>
    /// <param name="caller">Who calls.</param>
    /// <param name="requested">The request's owner scope; empty when it names none.</param>
    /// <exception cref="Refusal">OWNER_SCOPE_FORBIDDEN: it is another owner's; INVALID_REQUEST: it is no DID.</exception>
    public static string? OwnerScopeWithin(this Caller caller, string requested)
    {
        if (requested.Length > 0 && !Did.TryParse(requested, out _)) throw Refusal.OfField(Reason.InvalidRequest, "owner_scope", "owner_scope must be a DID");
        if (caller.IsUnscoped()) return requested.Length > 0 ? requested : null;
        var own = ((Caller.Token)caller).OwnerDid;
        return requested.Length == 0 || requested == own ? own : throw new Refusal(Reason.OwnerScopeForbidden);
    }
}
