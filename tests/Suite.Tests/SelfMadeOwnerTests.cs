using System.Net;
using System.Text;
using System.Text.Json;
using ClawBureau.Hosting.Peers;
using ClawBureau.Protos.Audit.V1;
using ClawBureau.Stack;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Suite.Tests;

/// <summary>A stack as it stands by default: protected routes are opened by canonical tokens.</summary>
public sealed class CanonicalStack : StackFixture
{
    internal override StackOptions Options => new() { Database = null, Durable = false, PlainHttp = true };
}

/// <summary>
/// Anybody makes himself an owner with every control scope, over HTTP alone: a challenge, a binding, a controller, an exchange
/// (control-plane-http.md 9, item 1). Through every process of the suite he then reaches what is his, and nothing else.
/// </summary>
public sealed class SelfMadeOwnerTests(CanonicalStack fixture) : IClassFixture<CanonicalStack>
{
    private static readonly string[] Everything = ["control:audit:read", "control:token:issue_sensitive", "control:token:revoke"];

    [Fact]
    public async Task A_self_made_owner_s_acts_are_in_the_audit_log_and_it_reads_its_own_alone()
    {
        using var http = new HttpClient { BaseAddress = fixture.Stack.EdgeHttp };
        var (self, victim) = (await Chain.MakeAsync(http), await Chain.MakeAsync(http));
        var (own, theirs) = (await self.ExchangeAsync(http, "clawproxy:call"), await victim.ExchangeAsync(http, "clawproxy:call"));
        var caller = await self.ExchangeAsync(http, Everything);

        // It takes back what is its own, and nobody else's.
        var (status, refused) = await PostAsync(http, "/v1/tokens/revoke", $$"""{"token":"{{theirs}}"}""", caller);
        Assert.Equal((HttpStatusCode.Forbidden, "TOKEN_NOT_ISSUED_HERE"), (status, Text(refused, "error")));
        Assert.True(await IsActiveAsync(http, theirs));
        (status, var revoked) = await PostAsync(http, "/v1/tokens/revoke", $$"""{"token":"{{own}}","reason":"done"}""", caller);
        Assert.Equal((HttpStatusCode.OK, "revoked"), (status, Text(revoked, "status")));
        Assert.False(await IsActiveAsync(http, own));
        // Of the feed it sees that one. What an operator takes back of it is its own too; what of another, is not.
        var operators = fixture.Revocation;
        var second = await self.ExchangeAsync(http, "clawproxy:call");
        foreach (var token in new[] { second, theirs }) await operators.RevokeTokensAsync(new() { Targets = { new Protos.Revocation.V1.RevocationTarget { TokenHash = TokenHash.Of(token).ToString() } } });
        Assert.Equal(new[] { own, second }.Select(t => TokenHash.Of(t).ToString()).Order(StringComparer.Ordinal), (await FeedAsync(http, caller)).Order(StringComparer.Ordinal));

        var auditor = new AuditService.AuditServiceClient(fixture.Channel(fixture.Stack.First("audit-sink")).Calls);
        await Eventually.HoldsAsync("the audit log has what was done last", async () =>
            (await auditor.ListEventsAsync(new() { Filter = new EventFilter { TokenHash = TokenHash.Of(theirs).ToString(), Kinds = { "token.revoked" } } })).Entries.Count == 1);

        using var nobody = PeerChannel.Create(fixture.Stack.First("audit-sink").Address, new PeerOptions { CaFile = fixture.Stack.Peer.CaFile });
        var audit = new AuditService.AuditServiceClient(nobody.Calls);
        var showing = new Metadata { { "x-cst", caller } };
        var seen = (await audit.ListEventsAsync(new() { PageSize = 1000, Ascending = true }, showing)).Entries;
        Assert.Equal(
            ["did.bound", "controller.registered", "agent.registered", "token.issued", "token.issued", "token.revoked", "token.issued", "token.revoked"],
            seen.Select(e => e.Kind));
        Assert.All(seen, e => Assert.Equal(self.Owner.Did, e.Keys.OwnerDid));
        // With what was done and by whom; of the other's, not even by its hash.
        Assert.Equal(["control", "owner-token", "owner-token", "owner-token", "owner-token", "operator"], seen.Skip(2).Select(e => ByOf(e, self)));
        Assert.DoesNotContain(seen, e => e.ToString().Contains(victim.Owner.Did, StringComparison.Ordinal) || e.ToString().Contains(victim.Agent.Did, StringComparison.Ordinal));
        Assert.Empty((await audit.ListEventsAsync(new() { Filter = new EventFilter { TokenHash = TokenHash.Of(theirs).ToString() } }, showing)).Entries);
        Assert.Equal(2, (await audit.ListEventsAsync(new() { Filter = new EventFilter { TokenHash = TokenHash.Of(own).ToString() } }, showing)).Entries.Count);
        await RefusesAsync(Reason.OwnerScopeForbidden, () => audit.ListEventsAsync(new() { Filter = new EventFilter { OwnerDid = victim.Owner.Did } }, showing).ResponseAsync);
        await RefusesAsync(Reason.CallerNotAllowed, () => audit.GetSourceCursorAsync(new() { Source = "ledger" }, showing).ResponseAsync);
        await RefusesAsync(Reason.CallerNotAllowed, () => audit.AppendEventsAsync(new() { Source = "ledger" }, showing).ResponseAsync);
        // Over HTTP it is the same: its own issuance, and none of the other's.
        (status, var issuance) = await GetAsync(http, "/v1/audit/issuance?limit=200", caller);
        Assert.Equal(HttpStatusCode.OK, status);
        var records = issuance.GetProperty("events").EnumerateArray().Select(e => e.GetProperty("record")).ToList();
        Assert.Equal(new[] { own, caller, second }.Select(t => TokenHash.Of(t).ToString()).Order(StringComparer.Ordinal), records.Select(r => Text(r, "token_hash")!).Order(StringComparer.Ordinal));
        Assert.All(records, r => Assert.Equal(self.Owner.Did, Text(r, "owner_did")));
        // Everything of both is there for an auditor.
        Assert.Equal(seen.Count - 3, (await auditor.ListEventsAsync(new() { PageSize = 1000, Filter = new EventFilter { OwnerDid = victim.Owner.Did } })).Entries.Count);

        // A token that was not given the scope opens nothing, and one that was taken back no more.
        await RefusesAsync(Reason.TokenInsufficientScope, async () =>
            await audit.ListEventsAsync(new(), new Metadata { { "x-cst", await self.ExchangeAsync(http, "control:token:revoke") } }));
        await PostAsync(http, "/v1/tokens/revoke", $$"""{"token":"{{caller}}"}""", caller);
        await RefusesAsync(Reason.TokenRevoked, () => audit.ListEventsAsync(new(), showing).ResponseAsync);
        (status, refused) = await GetAsync(http, "/v1/revocations/events", caller);
        Assert.Equal((HttpStatusCode.Unauthorized, "TOKEN_REVOKED"), (status, Text(refused, "error")));
    }

    private static string ByOf(Entry entry, Chain self)
    {
        using var payload = JsonDocument.Parse(entry.Payload.ToStringUtf8());
        var by = payload.RootElement.GetProperty("by").GetString()!;
        return by == self.Owner.Did ? payload.RootElement.TryGetProperty("challenge_id", out _) ? "control" : "owner-token" : by == self.Agent.Did ? "owner-token" : "operator";
    }

    private static async Task<List<string>> FeedAsync(HttpClient http, string caller)
    {
        var (status, feed) = await GetAsync(http, "/v1/revocations/events", caller);
        Assert.Equal(HttpStatusCode.OK, status);
        return [.. feed.GetProperty("events").EnumerateArray().Select(e => e.GetProperty("record").GetProperty("token_hash").GetString()!)];
    }

    private static async Task<bool> IsActiveAsync(HttpClient http, string token)
    {
        var (status, answer) = await PostAsync(http, "/v1/tokens/introspect", $$"""{"token":"{{token}}"}""");
        Assert.Equal(HttpStatusCode.OK, status);
        return answer.GetProperty("active").GetBoolean();
    }

    private static async Task RefusesAsync(Reason reason, Func<Task> call) => Assert.Equal(reason, (await Assert.ThrowsAsync<Refusal>(call)).Reason);

    private static string? Text(JsonElement json, string member) => json.GetProperty(member).GetString();

    private static Task<(HttpStatusCode Status, JsonElement Json)> PostAsync(HttpClient http, string path, string body, string? caller = null) =>
        SendAsync(http, new HttpRequestMessage(HttpMethod.Post, path) { Content = new StringContent(body, Encoding.UTF8, "application/json") }, caller);

    private static Task<(HttpStatusCode Status, JsonElement Json)> GetAsync(HttpClient http, string path, string caller) => SendAsync(http, new HttpRequestMessage(HttpMethod.Get, path), caller);

    private static async Task<(HttpStatusCode Status, JsonElement Json)> SendAsync(HttpClient http, HttpRequestMessage request, string? caller)
    {
        using (request)
        {
            if (caller is not null) request.Headers.Add("x-cst", caller);
            using var answer = await http.SendAsync(request);
            return (answer.StatusCode, JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement);
        }
    }

    /// <summary>An owner, his controller with every control scope and an agent under it, made with signatures and nothing else.</summary>
    private sealed record Chain(Party Owner, Party Controller, Party Agent)
    {
        public static async Task<Chain> MakeAsync(HttpClient http)
        {
            var chain = new Chain(Party.New(), Party.New(), Party.New());
            foreach (var party in new[] { chain.Owner, chain.Controller, chain.Agent })
                await SignedAsync(http, "/v1/challenges", $$"""{"did":"{{party}}"}""", party, "/v1/bind", $"\"did\":\"{party}\"");
            var (owner, controller, agent) = (chain.Owner, chain.Controller, chain.Agent);
            await SignedAsync(http, "/v1/control-plane/challenges", $$"""{"purpose":"register_controller","owner_did":"{{owner}}","controller_did":"{{controller}}"}""", owner,
                "/v1/control-plane/controllers/register", $"\"owner_did\":\"{owner}\",\"controller_did\":\"{controller}\",\"allowed_sensitive_scopes\":{JsonSerializer.Serialize(Everything)}");
            await SignedAsync(http, "/v1/control-plane/challenges", $$"""{"purpose":"register_agent","owner_did":"{{owner}}","controller_did":"{{controller}}","agent_did":"{{agent}}"}""", owner,
                $"/v1/control-plane/controllers/{Uri.EscapeDataString(controller.Did)}/agents/register", $"\"owner_did\":\"{owner}\",\"agent_did\":\"{agent}\"");
            return chain;
        }

        public async Task<string> ExchangeAsync(HttpClient http, params string[] scopes)
        {
            var issued = await SignedAsync(http, "/v1/scoped-tokens/challenges",
                $$"""{"owner_did":"{{Owner}}","aud":"clawscope.com","scope":{{JsonSerializer.Serialize(scopes)}},"controller_did":"{{Controller}}","agent_did":"{{Agent}}"}""", Owner,
                "/v1/scoped-tokens/exchange", $"\"owner_did\":\"{Owner}\"");
            return Text(issued, "token")!;
        }

        private static async Task<JsonElement> SignedAsync(HttpClient http, string challenges, string about, Party signer, string path, string members)
        {
            var (status, challenge) = await PostAsync(http, challenges, about);
            Assert.True(status == HttpStatusCode.OK, $"{challenges}: {challenge}");
            (status, var answer) = await PostAsync(http, path, $$"""{{{members}},"challenge_id":"{{Text(challenge, "challenge_id")}}","signature_b64u":"{{signer.Sign(Text(challenge, "message")!)}}"}""");
            Assert.True(status == HttpStatusCode.OK, $"{path}: {answer}");
            return answer;
        }
    }
}
