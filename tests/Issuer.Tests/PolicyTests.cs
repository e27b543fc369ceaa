using System.Text.Json;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Policy.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Policy = ClawBureau.Protos.Policy.V1.Policy;
using PolicyTier = ClawBureau.Protos.Policy.V1.PolicyTier;
using Reason = ClawBureau.Tokens.Reason;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Issuer.Tests;

public sealed class PolicyTests
{
    [Fact]
    public async Task Without_a_policy_in_the_ledger_the_configured_one_is_current()
    {
        await using var issuer = await IssuerFixture.StartAsync(new Dictionary<string, string?> { ["SCOPE_POLICY_VERSION"] = "conf-1", ["SCOPE_ALLOWED_AUDIENCES"] = "clawproxy.example" });
        var current = (await Client(issuer).GetPolicyAsync(new())).PolicyVersion;
        Assert.Equal(("conf-1", true, true, 0L), (current.Policy.Version, current.Current, current.Configured, current.Seq));
        var tier = Assert.Single(current.Policy.Tiers);
        Assert.Equal(("default", 3600L, 600L), (tier.Name, tier.MaxTtl.Seconds, tier.DefaultTtl.Seconds));
        Assert.Equal(["proxy:", "clawproxy:", "control:"], tier.AllowedScopePrefixes);
        Assert.Equal(["clawproxy.example"], tier.AllowedAudiences);
        Assert.Equal(43, current.PolicyHashB64U.Length);
        Assert.Equal(current, (await Client(issuer).GetPolicyAsync(new() { Version = "conf-1" })).PolicyVersion);
        Assert.Equal([current], (await Client(issuer).ListPolicyVersionsAsync(new())).PolicyVersions);
        Assert.Equal(Reason.PolicyVersionNotFound, (await RefusedAsync(() => Client(issuer).GetPolicyAsync(new() { Version = "other" }).ResponseAsync)).Reason);
    }

    [Fact]
    public async Task A_policy_is_put_as_an_act_judges_from_then_on_and_is_named_by_answer_and_event()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        Assert.Equal("1", (await issuer.Issuance.IssueTokenAsync(IssuerFixture.Request())).PolicyVersion);

        var put = await Client(issuer).PutPolicyAsync(new() { Policy = Allowing("v2", "clawproxy:call"), ExpectedVersion = "1", Reason = " tighter " });
        Assert.Equal(("v2", true, false, "tighter", "admin:scope-admin"), (put.PolicyVersion.Policy.Version, put.PolicyVersion.Current, put.PolicyVersion.Configured, put.PolicyVersion.Reason, put.PolicyVersion.PutBy));
        Assert.Equal((put.PolicyVersion.Seq, await issuer.ScalarAsync<long>("SELECT seq FROM ledger.head")), (put.Revision.Seq, put.Revision.Seq));

        var issued = await issuer.Issuance.IssueTokenAsync(IssuerFixture.Request());
        Assert.Equal(("v2", "default"), (issued.PolicyVersion, issued.PolicyTier));
        var payload = await PayloadAsync(issuer, issued.Seq);
        Assert.Equal(("v2", "default"), (payload.GetProperty("policy_version").GetString(), payload.GetProperty("policy_tier").GetString()));
        var act = await PayloadAsync(issuer, put.Revision.Seq);
        Assert.Equal(("policy.put", "v2", "admin:scope-admin", "tighter"),
            (act.GetProperty("kind").GetString(), act.GetProperty("policy_version").GetString(), act.GetProperty("by").GetString(), act.GetProperty("reason").GetString()));

        var other = IssuerFixture.Request();
        other.Scope[0] = "clawproxy:read";
        var refusal = await RefusedAsync(() => issuer.Issuance.IssueTokenAsync(other).ResponseAsync);
        Assert.Equal((Reason.ScopeNotAllowed, "allowed_scopes"), (refusal.Reason, refusal.Metadata["rule"]));
    }

    [Fact]
    public async Task Every_replica_judges_by_a_new_policy_from_the_moment_it_is_put()
    {
        await using var first = await IssuerFixture.StartAsync();
        await using var second = await first.AddReplicaAsync();
        var replica = new IssuanceService.IssuanceServiceClient(second.Channel().Calls);
        await replica.IssueTokenAsync(IssuerFixture.Request());         // it has the configured policy now

        var read = IssuerFixture.Request();
        read.Scope[0] = "clawproxy:read";
        for (int round = 0; round < 6; round++)
        {
            // What one version allows the other refuses; the second replica is told of neither.
            var (allowed, refused) = round % 2 == 0 ? (IssuerFixture.Request(), read) : (read, IssuerFixture.Request());
            await Client(first).PutPolicyAsync(new() { Policy = Allowing($"v{round}", allowed.Scope[0]) });
            Assert.Equal(Reason.ScopeNotAllowed, (await RefusedAsync(() => replica.IssueTokenAsync(refused).ResponseAsync)).Reason);
            Assert.Equal($"v{round}", (await replica.IssueTokenAsync(allowed)).PolicyVersion);
        }
    }

    [Fact]
    public async Task A_longer_lifetime_and_another_lane_mode_hold_at_once_too()
    {
        await using var first = await IssuerFixture.StartAsync();
        await using var second = await first.AddReplicaAsync();
        var replica = new IssuanceService.IssuanceServiceClient(second.Channel().Calls);
        var wide = IssuerFixture.Request();
        (wide.Ttl, wide.Scope[0]) = (new Duration { Seconds = 7200 }, "control:token:revoke");
        Assert.Equal(Reason.LegacySensitiveScopeForbidden, (await RefusedAsync(() => replica.IssueTokenAsync(wide).ResponseAsync)).Reason);

        var policy = Allowing("v2", "control:token:revoke");
        (policy.Tiers[0].MaxTtl, policy.LegacyExchangeMode) = (new Duration { Seconds = 7200 }, Wire.LegacyExchangeMode.Enabled);
        await Client(first).PutPolicyAsync(new() { Policy = policy });
        var issued = await replica.IssueTokenAsync(wide);
        Assert.Equal((7200L, Wire.LegacyExchangeMode.Enabled, ""), (issued.ExpiresAt.Seconds - issued.IssuedAt.Seconds, issued.LegacyExchangeMode, issued.MigrationNotice));
    }

    [Fact]
    public async Task A_policy_put_while_tokens_are_minted_fails_no_caller_and_no_token_bears_an_old_version_after_it()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        using var stop = new CancellationTokenSource();
        var minting = Enumerable.Range(0, 4).Select(async _ =>
        {
            var client = new IssuanceService.IssuanceServiceClient(issuer.Process.Channel().Calls);
            var issued = new List<IssueTokenResponse>();
            while (!stop.IsCancellationRequested) issued.Add(await client.IssueTokenAsync(IssuerFixture.Request()));
            return issued;
        }).ToList();
        var put = new List<(string Version, long Seq)>();
        for (int version = 0; version < 10; version++)
        {
            var answer = await Client(issuer).PutPolicyAsync(new() { Policy = Allowing($"v{version}", "clawproxy:call") });
            put.Add(($"v{version}", answer.Revision.Seq));
        }
        await stop.CancelAsync();
        foreach (var token in (await Task.WhenAll(minting)).SelectMany(tokens => tokens))
            Assert.Equal(put.LastOrDefault(p => p.Seq < token.Seq, ("1", 0)).Version, token.PolicyVersion);
    }

    [Fact]
    public async Task Of_two_who_expect_the_same_version_one_is_told_that_it_changed()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        var results = await Task.WhenAll(Enumerable.Range(0, 6).Select(async i =>
        {
            try
            {
                await Client(issuer).PutPolicyAsync(new() { Policy = Allowing($"v{i}", "x:y"), ExpectedVersion = "1" });
                return (Reason?)null;
            }
            catch (Refusal refusal)
            {
                return refusal.Reason;
            }
        }));
        Assert.Equal((1, 5), (results.Count(r => r is null), results.Count(r => r == Reason.PolicyVersionChanged)));

        // A retry of what is current changes nothing, and says what it said.
        var current = (await Client(issuer).GetPolicyAsync(new())).PolicyVersion;
        long before = await issuer.ScalarAsync<long>("SELECT seq FROM ledger.head");
        var again = await Client(issuer).PutPolicyAsync(new() { Policy = current.Policy, ExpectedVersion = "1" });
        Assert.Equal((current, before), (again.PolicyVersion, await issuer.ScalarAsync<long>("SELECT seq FROM ledger.head")));
    }

    public static TheoryData<string, string> Invalid => new()
    {
        { "no version", "version" }, { "long version", "version" }, { "no tiers", "tiers" }, { "two of a name", "tiers" }, { "no default tier", "default_tier" },
        { "blank prefix", "tiers.default.allowed_scope_prefixes" }, { "negative ttl", "tiers.default.max_ttl_seconds" }, { "65 items", "tiers.default.max_scope_items" },
        { "NUL", "tiers.default.allowed_scopes" }, { "configured version", "version" }, { "audit lag", "max_audit_lag" },
    };

    [Theory, MemberData(nameof(Invalid))]
    public async Task A_policy_that_cannot_hold_is_refused_by_its_rule_and_writes_nothing(string what, string rule)
    {
        var issuer = await Shared.Value;
        var policy = Allowing("never", "x");
        var tier = policy.Tiers[0];
        switch (what)
        {
            case "no version": policy.Version = ""; break;
            case "long version": policy.Version = new string('v', 65); break;
            case "no tiers": policy.Tiers.Clear(); break;
            case "two of a name": policy.Tiers.Add(tier.Clone()); break;
            case "no default tier": policy.DefaultTier = "gold"; break;
            case "blank prefix": tier.AllowedScopePrefixes.Add(" "); break;
            case "negative ttl": tier.MaxTtl = new Duration { Seconds = -1 }; break;
            case "65 items": tier.MaxScopeItems = 65; break;
            case "NUL": tier.AllowedScopes.Add("a\0"); break;
            case "configured version": policy.Version = "1"; break;
            case "audit lag": policy.MaxAuditLag = new Duration { Seconds = 5 }; break;
        }
        long before = await issuer.ScalarAsync<long>("SELECT seq FROM ledger.head");
        var refusal = await RefusedAsync(() => Client(issuer).PutPolicyAsync(new() { Policy = policy }).ResponseAsync);
        Assert.Equal((Reason.PolicyInvalid, rule), (refusal.Reason, refusal.Metadata["rule"]));
        Assert.Equal(before, await issuer.ScalarAsync<long>("SELECT seq FROM ledger.head"));
    }

    [Fact]
    public async Task Versions_are_paged_newest_first_and_the_configured_one_is_last()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        for (int version = 0; version < 5; version++) await Client(issuer).PutPolicyAsync(new() { Policy = Allowing($"v{version}", "x"), Reason = $"{version}" });
        var seen = new List<PolicyVersion>();
        for (var token = ""; ;)
        {
            var page = await Client(issuer).ListPolicyVersionsAsync(new() { PageSize = 2, PageToken = token });
            seen.AddRange(page.PolicyVersions);
            if (page.NextPageToken.Length == 0) break;
            Assert.Equal(2, page.PolicyVersions.Count);
            token = page.NextPageToken;
        }
        Assert.Equal([("v4", true), ("v3", false), ("v2", false), ("v1", false), ("v0", false), ("1", false)], seen.Select(v => (v.Policy.Version, v.Current)));
        Assert.Equal(["4", "3", "2", "1", "0", ""], seen.Select(v => v.Reason));
        Assert.Equal((true, 0L), (seen[^1].Configured, seen[^1].Seq));
        foreach (var token in (string[])["x", "-1", "0", " 1", "1.5"])
            Assert.Equal(Reason.PageTokenInvalid, (await RefusedAsync(() => Client(issuer).ListPolicyVersionsAsync(new() { PageToken = token }).ResponseAsync)).Reason);
    }

    [Fact]
    public async Task A_check_names_the_rule_that_decided_and_mints_nothing()
    {
        var issuer = await Shared.Value;
        var candidate = new Policy
        {
            Version = "candidate",
            Tiers =
            {
                new PolicyTier { Name = "default", AllowedScopePrefixes = { "proxy:", "clawproxy:" }, AllowedAudiences = { "clawproxy.example" }, MaxTtl = new Duration { Seconds = 60 } },
                new PolicyTier { Name = "gold", AllowAny = true, AllowWildcards = true, MaxScopeItems = 1 },
            },
        };
        (Action<IssueTokenRequest> Change, bool Allowed, string Tier, string Rule, Reason? Reason)[] cases =
        [
            (_ => { }, true, "default", "tiers[default].allowed_scope_prefixes[1]", null),
            (r => r.Scope.Add("proxy:x"), true, "default", "tiers[default].allowed_scope_prefixes[1], tiers[default].allowed_scope_prefixes[0]", null),
            (r => r.Scope[0] = "admin:x", false, "default", "tiers[default].allowed_scope_prefixes", Reason.ScopeNotAllowed),
            (r => r.Scope[0] = "proxy:*", false, "default", "tiers[default].allow_wildcards", Reason.ScopeWildcardNotAllowed),
            (r => r.Aud.Values[0] = "other", false, "default", "tiers[default].allowed_audiences", Reason.AudienceNotAllowed),
            (r => r.Ttl = new Duration { Seconds = 61 }, false, "default", "tiers[default].max_ttl_seconds", Reason.TtlTooLong),
            (r => r.Tier = "gold", true, "gold", "tiers[gold].allow_any", null),
            (r => { r.Tier = "gold"; r.Scope.Add("x"); }, false, "gold", "tiers[gold].max_scope_items", Reason.ScopeTooLarge),
            (r => { r.Tier = "gold"; r.Scope[0] = "control:x"; }, false, "", "sensitive_scope_prefixes", Reason.LegacySensitiveScopeForbidden),
            (r => r.Tier = "silver", false, "", "tiers", Reason.PolicyTierUnknown),
            (r => r.Sub = "", false, "", "", Reason.InvalidRequest),
        ];
        var request = new CheckPolicyRequest { Candidate = candidate };
        foreach (var (change, _, _, _, _) in cases)
        {
            var grant = IssuerFixture.Request();
            change(grant);
            request.Grants.Add(grant);
        }
        long before = await issuer.ScalarAsync<long>("SELECT seq FROM ledger.head");
        var answer = await Client(issuer).CheckPolicyAsync(request);
        Assert.Equal("candidate", answer.Version);
        Assert.Equal(
            cases.Select(c => (c.Allowed, c.Tier, c.Rule, c.Reason)),
            answer.Results.Select(r => (r.Allowed, r.Tier, r.Rule, r.Refusal is null ? (Reason?)null : (Reason)r.Refusal.Reason)));
        Assert.Equal((60L, 600L), (answer.Results[0].Ttl.Seconds, answer.Results[6].Ttl.Seconds));
        Assert.All(answer.Results.Where(r => !r.Allowed), r => Assert.NotEmpty(r.Refusal.Sentence));
        Assert.Equal(before, await issuer.ScalarAsync<long>("SELECT seq FROM ledger.head"));

        Assert.Equal("1", (await Client(issuer).CheckPolicyAsync(new() { Grants = { IssuerFixture.Request() } })).Version);
        Assert.Equal(Reason.PolicyVersionNotFound, (await RefusedAsync(() => Client(issuer).CheckPolicyAsync(new() { Version = "x", Grants = { IssuerFixture.Request() } }).ResponseAsync)).Reason);
        Assert.Equal(Reason.BatchTooLarge, (await RefusedAsync(() => Client(issuer).CheckPolicyAsync(new() { Grants = { Enumerable.Repeat(new IssueTokenRequest(), 1001) } }).ResponseAsync)).Reason);
    }

    [Fact]
    public async Task What_a_check_allows_is_minted_and_what_it_refuses_is_refused_alike()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        await Client(issuer).PutPolicyAsync(new() { Policy = Allowing("v2", "clawproxy:call") });
        foreach (var scope in (string[])["clawproxy:call", "clawproxy:read", "clawproxy:*", "*", "control:*"])
        {
            var request = IssuerFixture.Request();
            request.Scope[0] = scope;
            var check = Assert.Single((await Client(issuer).CheckPolicyAsync(new() { Grants = { request } })).Results);
            if (check.Allowed) await issuer.Issuance.IssueTokenAsync(request);
            else Assert.Equal((Reason)check.Refusal.Reason, (await RefusedAsync(() => issuer.Issuance.IssueTokenAsync(request).ResponseAsync)).Reason);
        }
    }

    [Fact]
    public async Task A_policy_this_build_cannot_read_stops_issuance()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        await issuer.ScalarAsync<long>("""
            WITH put AS (INSERT INTO policy.versions VALUES ('later', 1000, '{"tiers":{"default":{"more":1}}}', sha256(''), 'x', now())), moved AS (UPDATE ledger.head SET control_seq = control_seq + 1 RETURNING control_seq)
            SELECT control_seq FROM moved
            """);
        var refusal = await RefusedAsync(() => issuer.Issuance.IssueTokenAsync(IssuerFixture.Request()).ResponseAsync);
        Assert.Equal((Reason.PolicyConfigInvalid, "tiers.default.more"), (refusal.Reason, refusal.Metadata["rule"]));
    }

    [Fact]
    public async Task Reading_is_not_writing_and_a_stranger_does_neither()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        var stranger = new PolicyService.PolicyServiceClient(issuer.Process.Channel(adminKey: null).Calls);
        Assert.Equal(Reason.Unauthorized, (await RefusedAsync(() => stranger.GetPolicyAsync(new()).ResponseAsync)).Reason);
        Assert.Equal(Reason.Unauthorized, (await RefusedAsync(() => stranger.PutPolicyAsync(new() { Policy = Allowing("v", "x") }).ResponseAsync)).Reason);
        Assert.Equal(Reason.Unauthorized, (await RefusedAsync(() => stranger.ListPolicyVersionsAsync(new()).ResponseAsync)).Reason);
        Assert.Equal(Reason.Unauthorized, (await RefusedAsync(() => stranger.CheckPolicyAsync(new()).ResponseAsync)).Reason);
    }

    [Fact]
    public async Task Without_the_database_no_policy_is_told_and_none_put()
    {
        await using var issuer = await IssuerFixture.StartAsync(behindWire: true);
        await issuer.Wire.CutAsync();
        Assert.Equal(Reason.LedgerUnavailable, (await RefusedAsync(() => Client(issuer).GetPolicyAsync(new()).ResponseAsync)).Reason);
        Assert.Equal(Reason.LedgerUnavailable, (await RefusedAsync(() => Client(issuer).ListPolicyVersionsAsync(new()).ResponseAsync)).Reason);
    }

    private static readonly Lazy<Task<IssuerFixture>> Shared = new(() => IssuerFixture.StartAsync());

    private static PolicyService.PolicyServiceClient Client(IssuerFixture issuer) => new(issuer.Process.Channel().Calls);

    private static Policy Allowing(string version, string scope) => new() { Version = version, Tiers = { new PolicyTier { Name = "default", AllowedScopes = { scope } } } };

    private static async Task<Refusal> RefusedAsync<T>(Func<Task<T>> call) => await Assert.ThrowsAsync<Refusal>(call);

    private static async Task<JsonElement> PayloadAsync(IssuerFixture issuer, long seq) =>
        JsonDocument.Parse(await issuer.ScalarAsync<byte[]>($"SELECT payload FROM ledger.events WHERE seq = {seq}")).RootElement;
}
