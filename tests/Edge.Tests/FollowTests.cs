using System.Text.Json;
using ClawBureau.Tokens;

namespace ClawBureau.Edge.Tests;

/// <summary>The feed over HTTP: GET /v1/revocations/events (clawscope-http.md 1.4), and what can be followed: after_sequence, server-sent events.</summary>
[Collection(EdgeSuite.Name)]
public sealed class FollowTests(EdgeFixture edge)
{
    private const string Stream = "/v1/revocations/stream", Events = "/v1/revocations/events";
    private static readonly (string, string) Admin = ("Authorization", $"Bearer {EdgeFixture.AdminKey}");

    [Fact]
    public async Task The_older_shape_lists_the_same_without_numbers()
    {
        var hash = await RevokeAsync();
        var page = await edge.Http.GetAsync($"{Events}?limit=1", Admin);
        page.IsOk("events cursor list_complete");
        var only = Assert.Single(page.Json.GetProperty("events").EnumerateArray());
        Assert.Equal("key record", Answered.MembersOf(only));
        Assert.Equal(hash, only.GetProperty("record").GetProperty("token_hash").GetString());
        var second = await edge.Http.GetAsync($"{Events}?limit=1&cursor={page.Json.GetProperty("cursor").GetString()}", Admin);
        Assert.NotEqual(hash, Assert.Single(second.Json.GetProperty("events").EnumerateArray()).GetProperty("record").GetProperty("token_hash").GetString());
        (await edge.Http.GetAsync(Events)).IsRefused(401, "UNAUTHORIZED", "Missing Authorization header");
        (await edge.Canonical.GetAsync(Events)).IsRefused(401, "TOKEN_REQUIRED");
        (await edge.Http.GetAsync($"{Events}?cursor=x", Admin)).IsRefused(400, "PAGE_TOKEN_INVALID");
    }

    [Fact]
    public async Task After_a_sequence_comes_the_next_one_each_once_in_order()
    {
        var first = await RevokeAsync();
        var all = await edge.Http.GetAsync($"{Stream}?after_sequence=0&limit=200", Admin);
        all.IsOk("stream_version epoch events next_sequence list_complete");
        var (epoch, head) = (all.Json.GetProperty("epoch").GetString(), all.Json.GetProperty("next_sequence").GetInt64());
        var events = all.Json.GetProperty("events").EnumerateArray().ToList();
        Assert.Equal(Enumerable.Range(1, events.Count).Select(i => (long)i), events.Select(e => e.GetProperty("sequence").GetInt64()));
        Assert.Equal((first, head, true), (HashOf(events[^1]), events[^1].GetProperty("sequence").GetInt64(), all.Json.GetProperty("list_complete").GetBoolean()));

        string[] next = [await RevokeAsync(), await RevokeAsync(), await RevokeAsync()];
        var two = await edge.Http.GetAsync($"{Stream}?after_sequence={head}&epoch={epoch}&limit=2", Admin);
        Assert.Equal(next.Take(2), two.Json.GetProperty("events").EnumerateArray().Select(HashOf));
        Assert.Equal((head + 2, false), (two.Json.GetProperty("next_sequence").GetInt64(), two.Json.GetProperty("list_complete").GetBoolean()));
        Assert.Equal("sequence key record", Answered.MembersOf(two.Json.GetProperty("events")[0]));
        var one = await edge.Http.GetAsync($"{Stream}?after_sequence={head + 2}&epoch={epoch}", Admin);
        Assert.Equal(next.Skip(2), one.Json.GetProperty("events").EnumerateArray().Select(HashOf));
        var none = await edge.Http.GetAsync($"{Stream}?after_sequence={head + 3}&epoch={epoch}", Admin);
        Assert.Equal((0, head + 3, true), (none.Json.GetProperty("events").GetArrayLength(), none.Json.GetProperty("next_sequence").GetInt64(), none.Json.GetProperty("list_complete").GetBoolean()));
    }

    [Fact]
    public async Task A_sequence_that_cannot_be_served_is_refused()
    {
        var epoch = (await edge.Http.GetAsync($"{Stream}?after_sequence=0", Admin)).Json.GetProperty("epoch").GetString();
        (await edge.Http.GetAsync($"{Stream}?after_sequence=1", Admin)).IsRefused(400, "INVALID_REQUEST", "after_sequence needs the epoch it belongs to");
        foreach (var junk in (string[])["", "x", "-1", "1.5", "99999999999999999999"])
            (await edge.Http.GetAsync($"{Stream}?after_sequence={junk}&epoch={epoch}", Admin)).IsRefused(400, "INVALID_REQUEST", "after_sequence must be a whole number");
        (await edge.Http.GetAsync($"{Stream}?after_sequence=1&epoch=x", Admin)).IsRefused(400, "INVALID_REQUEST");
        (await edge.Http.GetAsync($"{Stream}?after_sequence=1&epoch={Guid.NewGuid()}", Admin)).IsRefused(409, "FEED_CURSOR_FOREIGN_EPOCH");
        (await edge.Http.GetAsync($"{Stream}?after_sequence=999999999&epoch={epoch}", Admin)).IsRefused(409, "FEED_CURSOR_FUTURE");
        (await edge.Http.GetAsync($"{Stream}?after_sequence=0")).IsRefused(401, "UNAUTHORIZED");
    }

    [Fact]
    public async Task Events_come_from_the_head_on_and_resume_by_their_id()
    {
        await RevokeAsync();
        string? lastId;
        string first, second;
        using (var events = await edge.Http.OpenEventsAsync(Stream, Admin))
        {
            Assert.Equal("caught_up", (await events.NextAsync())!.Name);
            first = await RevokeAsync();
            second = await RevokeAsync();
            var one = (await events.NextAsync())!;
            Assert.Equal(("revocation", first, "sequence key record"), (one.Name, HashOf(one.Data), Answered.MembersOf(one.Data)));
            Assert.EndsWith($":{one.Data.GetProperty("sequence").GetInt64()}", one.Id, StringComparison.Ordinal);
            lastId = one.Id;
        }
        var third = await RevokeAsync();
        using (var events = await edge.Http.OpenEventsAsync(Stream, Admin, ("Last-Event-ID", lastId!)))
        {
            foreach (var missed in (string[])[second, third]) Assert.Equal(missed, HashOf((await events.NextAsync())!.Data));
            var caughtUp = (await events.NextAsync())!;
            Assert.Equal(("caught_up", "epoch sequence"), (caughtUp.Name, Answered.MembersOf(caughtUp.Data)));
        }
        // Where an EventSource begins: a cursor in the query.
        var parts = lastId!.Split(':');
        using var fromQuery = await edge.Http.OpenEventsAsync($"{Stream}?after_sequence={parts[1]}&epoch={parts[0]}", Admin);
        Assert.Equal(second, HashOf((await fromQuery.NextAsync())!.Data));
    }

    [Fact]
    public async Task Who_may_not_read_or_has_a_cursor_that_cannot_be_served_gets_no_stream()
    {
        (string, string) accept = ("Accept", "text/event-stream");
        (await edge.Http.GetAsync(Stream, accept)).IsRefused(401, "UNAUTHORIZED");
        (await edge.Canonical.GetAsync(Stream, accept)).IsRefused(401, "TOKEN_REQUIRED");
        (await edge.Http.GetAsync(Stream, accept, Admin, ("Last-Event-ID", "7"))).IsRefused(400, "INVALID_REQUEST");
        (await edge.Http.GetAsync(Stream, accept, Admin, ("Last-Event-ID", $"{Guid.NewGuid()}:7"))).IsRefused(409, "FEED_CURSOR_FOREIGN_EPOCH");
        await using var full = await edge.StartEdgeAsync(new() { ["SCOPE_PROTECTED_AUTH_MODE"] = "admin_token", ["CLAW_EDGE_MAX_EVENT_STREAMS"] = "0" });
        (await full.GetAsync(Stream, accept, Admin)).IsRefused(429, "SUBSCRIBER_LIMIT_REACHED");
    }

    [Fact]
    public async Task An_owner_follows_what_is_its_own_until_its_token_is_revoked()
    {
        var owner = $"did:key:z{Guid.NewGuid():N}";
        var token = Jwt.Make(Jwt.Header("fe2b99fd9afaa999"), $$"""
            {"token_version":"1","sub":"did:key:zAgent","aud":"a","scope":["control:audit:read"],"iat":1700000000,"exp":4102444800,"owner_did":"{{owner}}",
             "controller_did":"did:key:zController","agent_did":"did:key:zAgent","token_lane":"canonical","jti":"{{Guid.NewGuid()}}"}
            """);
        var (_, own) = await edge.Http.IssueAsync($$"""{"sub":"did:key:zAgent","aud":"clawproxy.example","scope":["clawproxy:call"],"owner_did":"{{owner}}"}""");
        using var events = await edge.Canonical.OpenEventsAsync(Stream, ("X-CST", token));
        var begun = (await events.NextAsync())!;
        Assert.Equal("caught_up", begun.Name);
        await RevokeAsync();                                                                    // somebody else's
        await edge.Http.PostAsAdminAsync("/v1/tokens/revoke", $$"""{"token_hash":"{{own}}"}""");
        var only = (await events.NextAsync())!;
        Assert.Equal(("revocation", own), (only.Name, HashOf(only.Data)));
        Assert.True(only.Data.GetProperty("sequence").GetInt64() >= begun.Data.GetProperty("sequence").GetInt64() + 2);     // as the feed counts, not the owner

        await edge.Http.PostAsAdminAsync("/v1/tokens/revoke", JsonSerializer.Serialize(new { token }));
        var last = (await events.NextAsync())!;
        Assert.Equal(("error", "error message", "TOKEN_REVOKED"), (last.Name, Answered.MembersOf(last.Data), last.Data.GetProperty("error").GetString()));
        Assert.Null(await events.NextAsync());
        // The same by pages.
        (await edge.Canonical.GetAsync($"{Stream}?after_sequence=0", ("X-CST", token))).IsRefused(401, "TOKEN_REVOKED");
    }

    private async Task<string> RevokeAsync()
    {
        var token = $"followed {Guid.NewGuid()}";
        await edge.Http.PostAsAdminAsync("/v1/tokens/revoke", JsonSerializer.Serialize(new { token }));
        return TokenHash.Of(token).ToString();
    }

    private static string? HashOf(JsonElement entry) => entry.GetProperty("record").TryGetProperty("token_hash", out var hash) ? hash.GetString() : null;
}
