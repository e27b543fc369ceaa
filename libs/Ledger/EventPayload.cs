using System.Security.Cryptography;
using ClawBureau.Tokens;

namespace ClawBureau.Ledger;

/// <summary>
/// What an event says, as canonical JSON (RFC 8785): member names in ordinal order, absent where there is nothing to say.
/// The bytes are stored, hashed and audited as written here and never made again. Place, time and correlation stand in the
/// event's own columns.
/// </summary>
internal static class EventPayload
{
    /// <summary>What the audit log takes (clawbureau.audit.v1.AuditEvent): an event that it refused would keep all later ones from it.</summary>
    public const int MostBytes = 32_768;

    public static byte[] OfMint(MintAct act)
    {
        var claims = act.Claims;
        var json = Begin();
        Text(json, "agent_did", claims.AgentDid?.ToString());
        json.Name("aud").Value(claims.Audience.Values);
        By(json, act);
        Text(json, "control_plane_policy_hash_b64u", claims.ControlPlanePolicyHash?.ToString());
        Text(json, "controller_did", claims.ControllerDid?.ToString());
        if (claims.Delegation is { } delegation)
        {
            Text(json, "delegate_did", delegation.DelegateDid?.ToString());
            if (delegation.ExpiresAt is { } delegationEnds) json.Name("delegation_expires_at").Value(delegationEnds);
            Text(json, "delegation_id", delegation.Id);
            Text(json, "delegation_policy_hash_b64u", delegation.PolicyHash?.ToString());
            Text(json, "delegation_spend_cap_minor", delegation.SpendCapMinor);
            Text(json, "delegator_did", delegation.DelegatorDid?.ToString());
        }
        json.Name("exp").Value(claims.ExpiresAt);
        json.Name("iat").Value(claims.IssuedAt);
        Text(json, "jti", claims.Jti);
        Text(json, "kid", act.KeyId.ToString());
        Text(json, "kind", EventKinds.NameOf(act.Kind));
        Text(json, "mission_id", claims.MissionId);
        Text(json, "owner_did", claims.OwnerDid?.ToString());
        Text(json, "owner_ref", claims.OwnerRef);
        Text(json, "payment_account_did", claims.PaymentAccountDid?.ToString());
        Text(json, "policy_hash_b64u", claims.PolicyHash?.ToString());
        Text(json, "policy_tier", act.PolicyTier);
        Text(json, "policy_version", act.PolicyVersion);
        json.Name("scope").Value(claims.Scope);
        if (claims.SpendCap is { } cap) json.Name("spend_cap").Value(cap);
        Text(json, "sub", claims.Sub);
        Text(json, "token_hash", act.TokenHash.ToString());
        Text(json, "token_lane", claims.Lane?.ToClaim());
        Text(json, "token_scope_hash_b64u", claims.TokenScopeHash?.ToString());
        return End(json);
    }

    public static byte[] OfRevocation(RevokeTokenAct act)
    {
        var json = Begin();
        By(json, act);
        Text(json, "jti", act.Jti);
        Text(json, "kind", EventKinds.NameOf(act.Kind));
        Text(json, "reason", act.Reason);
        Text(json, "token_hash", act.TokenHash?.ToString());
        return End(json);
    }

    public static byte[] OfGroup(Act act, GroupKey group, string? ownerDid, string? reason)
    {
        var json = Begin();
        By(json, act);
        Text(json, "group_key", Convert.ToHexStringLower(group.Hash));
        Text(json, "group_kind", group.Kind.ToString().ToLowerInvariant());
        Text(json, "kind", EventKinds.NameOf(act.Kind));
        Text(json, "owner_did", ownerDid);
        Text(json, "reason", reason);
        return End(json);
    }

    public static byte[] OfKeys(KeyAct act)
    {
        var json = Begin();
        By(json, act);
        json.Name("keys").BeginArray();
        foreach (var key in act.Keys)
        {
            json.BeginObject();
            if (key.ActivatesAt is { } begins) json.Name("activates_at").Value(begins);
            json.Name("can_sign").Value(key.CanSign);
            json.Name("foreign").Value(key.IsForeign);
            Text(json, "kid", key.KeyId.ToString());
            if (key.NotAfter is { } end) json.Name("not_after").Value(end);
            if (key.Overlap is { } overlap) json.Name("overlap").Value(overlap);
            Text(json, "public_key", Base64UrlText.Encode(key.PublicKey));
            json.Name("revoked").Value(key.IsRevoked);
            Text(json, "state", key.State.ToText());
            json.EndObject();
        }
        json.EndArray();
        Text(json, "kind", EventKinds.NameOf(act.Kind));
        Text(json, "reason", act.Reason);
        Text(json, "revoked_kid", act.Revoked?.ToString());
        return End(json);
    }

    public static byte[] OfPolicy(PolicyAct act)
    {
        var json = Begin();
        By(json, act);
        Text(json, "kind", EventKinds.NameOf(act.Kind));
        Text(json, "policy_hash", Convert.ToHexStringLower(SHA256.HashData(act.Document)));
        Text(json, "policy_version", act.Version);
        Text(json, "reason", act.Reason);
        return End(json);
    }

    public static byte[] OfControl(ControlAct act)
    {
        var members = new SortedDictionary<string, object?>(StringComparer.Ordinal) { ["by"] = act.Caller, ["by_token"] = act.CallerToken?.TokenHash.ToString(), ["kind"] = EventKinds.NameOf(act.Kind) };
        foreach (var (name, value) in act.Facts) members.Add(name, value);
        var json = Begin();
        foreach (var (name, value) in members)
        {
            switch (value)
            {
                case null: break;
                case string text: json.Name(name).Value(text); break;
                case bool flag: json.Name(name).Value(flag); break;
                case long number: json.Name(name).Value(number); break;
                case IEnumerable<string> texts: json.Name(name).Value(texts); break;
                default: throw new InvalidOperationException($"the fact {name} is a {value.GetType().Name}");
            }
        }
        return End(json);
    }

    public static byte[] OfCut(ControlAct act, GroupKey group)
    {
        var json = Begin();
        By(json, act);
        Text(json, "cause", EventKinds.NameOf(act.Kind));
        Text(json, "group_key", Convert.ToHexStringLower(group.Hash));
        Text(json, "group_kind", group.Kind.ToString().ToLowerInvariant());
        Text(json, "kind", EventKinds.NameOf(EventKind.GroupCut));
        return End(json);
    }

    private static JsJsonWriter Begin() => new JsJsonWriter().BeginObject();

    // "v" sorts after every other name used here.
    private static byte[] End(JsJsonWriter json) => json.Name("v").Value(1).EndObject().ToArray();

    private static void By(JsJsonWriter json, Act act)
    {
        Text(json, "by", act.Caller);
        Text(json, "by_token", act.CallerToken?.TokenHash.ToString());
    }

    private static void Text(JsJsonWriter json, string name, string? value)
    {
        if (value is not null) json.Name(name).Value(value);
    }
}
