using System.Text.Json;

namespace ClawBureau.Tokens.Tests;

public sealed class ScopeHashTests
{
    public static TheoryData<string> Names => [.. Vectors.Read("scope-hashes.json").EnumerateArray().Select(row => row.GetProperty("name").GetString()!)];

    [Theory, MemberData(nameof(Names))]
    public void Scope_hash_is_the_existing_services(string name)
    {
        var row = Row(name);
        Assert.Equal(row.GetProperty("hash").GetString(), Input(row).Compute().ToString());
    }

    [Theory, MemberData(nameof(Names))]
    public void The_fixed_order_of_members_is_the_canonical_one(string name)
    {
        var written = Input(Row(name)).ToCanonicalJson();
        Assert.Equal(CanonicalJson.Of(written), written);
    }

    [Fact]
    public void Issuing_the_same_grant_again_gives_the_same_hash()
    {
        var claims = TestTokens.Claims();
        var later = claims with { IssuedAt = 1, ExpiresAt = 2, Jti = "j", Nonce = "n", Lane = TokenLane.Canonical };
        Assert.Equal(claims.ComputeScopeHash(), later.ComputeScopeHash());
        Assert.NotEqual(claims.ComputeScopeHash(), (claims with { MissionId = "other" }).ComputeScopeHash());
    }

    [Fact]
    public void Sensitive_policy_hash_of_the_control_plane_matches() // row A3: not canonical, members as written
    {
        var policy = new JsJsonWriter().BeginObject()
            .Name("policy_version").Value("1")
            .Name("mode").Value("owner_bound")
            .Name("owner_did").Value("did:key:z6MkfokQnyJcNqD2rQtBpiS5VirthyjFZvkj67Tp1Zku7XfJ")
            .Name("allowed_sensitive_scopes").Value(["control:key:rotate", "control:token:issue_sensitive"])
            .EndObject().ToArray();
        Assert.Equal("jURwUTGZUfhVlhyGXjuyu-jwbTJM9_r1J7zoJ0gzD8A", ScopeHash.Of(policy).ToString());
    }

    private static JsonElement Row(string name) =>
        Vectors.Read("scope-hashes.json").EnumerateArray().Single(row => row.GetProperty("name").GetString() == name);

    private static ScopeHashInput Input(JsonElement row)
    {
        var input = row.GetProperty("input");
        return new ScopeHashInput
        {
            Sub = Text("sub")!,
            Audience = Texts("aud"),
            Scope = Texts("scope"),
            OwnerRef = Text("owner_ref"),
            OwnerDid = Text("owner_did"),
            ControllerDid = Text("controller_did"),
            AgentDid = Text("agent_did"),
            PolicyHash = Text("policy_hash_b64u"),
            ControlPlanePolicyHash = Text("control_plane_policy_hash_b64u"),
            PaymentAccountDid = Text("payment_account_did"),
            SpendCap = Number("spend_cap"),
            MissionId = Text("mission_id"),
            DelegationId = Text("delegation_id"),
            DelegatorDid = Text("delegator_did"),
            DelegateDid = Text("delegate_did"),
            DelegationPolicyHash = Text("delegation_policy_hash_b64u"),
            DelegationSpendCapMinor = Text("delegation_spend_cap_minor"),
            DelegationExpiresAt = Number("delegation_expires_at"),
        };

        string? Text(string name) => input.TryGetProperty(name, out var value) ? value.GetString() : null;
        string[] Texts(string name) => [.. input.GetProperty(name).EnumerateArray().Select(item => item.GetString()!)];
        double? Number(string name) => input.TryGetProperty(name, out var value) ? value.GetDouble() : null;
    }
}
