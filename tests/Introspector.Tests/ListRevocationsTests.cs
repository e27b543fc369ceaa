using ClawBureau.Hosting.Health;
using ClawBureau.Ledger;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Introspector.Tests;

/// <summary>ListRevocations: pages, their orders, filters and refusals.</summary>
public sealed class ListRevocationsTests : IAsyncLifetime, IDisposable
{
    private TestDatabase _database = null!;
    private NpgsqlDataSource _source = null!;
    private LedgerWriter _writer = null!;
    private TestProcess _process = null!;

    [Fact]
    public async Task Pages_go_from_the_newest_back_and_the_last_one_has_no_token()
    {
        await RevokeAsync(5);
        var first = await List(new() { PageSize = 2 });
        Assert.Equal([5L, 4L], Numbers(first));
        Assert.Equal((5L, 5L), (first.Revision.RevocationSeq, first.Revision.Seq));

        await RevokeAsync(1, from: 6);          // what comes meanwhile moves nothing
        var second = await List(new() { PageSize = 2, PageToken = first.NextPageToken });
        Assert.Equal([3L, 2L], Numbers(second));
        var last = await List(new() { PageSize = 2, PageToken = second.NextPageToken });
        Assert.Equal([1L], Numbers(last));
        Assert.Equal("", last.NextPageToken);

        var entry = last.Revocations.Single();
        Assert.Equal((TokenHash.Of("token 1").ToString(), "because", "admin:test"), (TokenHash.FromBytes(entry.Token.TokenHash.ToByteArray()).ToString(), entry.Reason, entry.RevokedBy));
        Assert.NotNull(entry.RevokedAt);
    }

    [Fact]
    public async Task After_a_cursor_the_order_is_that_of_the_ledger()
    {
        await RevokeAsync(4);
        var epoch = (await List(new())).Revision.Epoch;
        var first = await List(new() { AfterRevocationSeq = 1, Epoch = epoch, PageSize = 2 });
        Assert.Equal([2L, 3L], Numbers(first));
        Assert.Equal([4L], Numbers(await List(new() { AfterRevocationSeq = 1, Epoch = epoch, PageSize = 2, PageToken = first.NextPageToken })));
        Assert.Empty(Numbers(await List(new() { AfterRevocationSeq = 4, Epoch = epoch })));
    }

    [Fact]
    public async Task Filters_leave_what_they_name()
    {
        await RevokeAsync(3);
        var all = await List(new());
        Assert.Equal([2L], Numbers(await List(new() { TokenHash = TokenHash.Of("token 2").ToString().ToUpperInvariant() })));
        var second = all.Revocations.Single(r => r.RevocationSeq == 2).RevokedAt;
        Assert.Contains(2L, Numbers(await List(new() { Since = second })));
        Assert.DoesNotContain(2L, Numbers(await List(new() { Until = second })));
        Assert.Empty(Numbers(await List(new() { Since = Timestamp.FromDateTime(DateTime.UtcNow.AddHours(1)) })));
    }

    [Fact]
    public async Task A_list_that_starts_after_a_revocation_was_committed_has_it()
    {
        for (int i = 1; i <= 25; i++)
        {
            await RevokeAsync(1, from: i);
            Assert.Equal(i, Numbers(await List(new() { PageSize = 1 })).Single());
        }
    }

    [Fact]
    public async Task Requests_that_cannot_be_served_say_why()
    {
        await RevokeAsync(2);
        var page = await List(new() { PageSize = 1 });
        var epoch = page.Revision.Epoch;
        var foreign = Guid.NewGuid().ToString();
        await RefusedAsync(Reason.InvalidRequest, new() { PageSize = -1 });
        await RefusedAsync(Reason.InvalidRequest, new() { PageSize = 1001 });
        await RefusedAsync(Reason.InvalidRequest, new() { OwnerScope = "no DID" });
        await RefusedAsync(Reason.InvalidRequest, new() { AfterRevocationSeq = 1 });
        await RefusedAsync(Reason.InvalidRequest, new() { Epoch = epoch });
        await RefusedAsync(Reason.InvalidRequest, new() { AfterRevocationSeq = -1, Epoch = epoch });
        await RefusedAsync(Reason.InvalidRequest, new() { AfterRevocationSeq = 1, Epoch = "yesterday" });
        await RefusedAsync(Reason.InvalidRequest, new() { Since = new Timestamp { Seconds = long.MaxValue } });
        await RefusedAsync(Reason.InvalidTokenHash, new() { TokenHash = "abc" });
        await RefusedAsync(Reason.FeedCursorFuture, new() { AfterRevocationSeq = 3, Epoch = epoch });
        await RefusedAsync(Reason.FeedCursorForeignEpoch, new() { AfterRevocationSeq = 1, Epoch = foreign });
        await RefusedAsync(Reason.PageTokenInvalid, new() { PageToken = "no token" });
        await RefusedAsync(Reason.PageTokenInvalid, new() { PageToken = page.NextPageToken, TokenHash = TokenHash.Of("another filter").ToString() });
    }

    [Fact]
    public async Task Only_admitted_callers_list_and_nobody_without_a_credential()
    {
        var refusal = await Assert.ThrowsAsync<Refusal>(async () => await new FeedService.FeedServiceClient(_process.Channel(adminKey: null).Calls).ListRevocationsAsync(new()));
        Assert.Equal(Reason.Unauthorized, refusal.Reason);
    }

    public async Task InitializeAsync()
    {
        _database = await TestDatabases.CreateAsync();
        _source = LedgerDatabase.ForWriting(_database.Issuer);
        _writer = new LedgerWriter(_source, new LedgerOptions(), NullLogger<LedgerWriter>.Instance);
        await _writer.StartAsync(CancellationToken.None);
        // Patient: a busy machine is no reason to call the ledger unavailable here.
        var patient = new IntrospectorOptions { Database = _database.Introspector, PollDeadline = TimeSpan.FromSeconds(5), MostSilence = TimeSpan.FromSeconds(30) };
        _process = await TestProcess.StartAsync("introspector", s =>
        {
            s.AddIntrospector();
            s.AddSingleton(patient);
        }, a => a.MapIntrospector(), new Dictionary<string, string?> { ["CLAW_DATABASE_INTROSPECTOR"] = _database.Introspector });
        await Eventually.HoldsAsync("the Introspector is ready", () => _process.Services.GetRequiredService<Readiness>().IsReady);
    }

    public async Task DisposeAsync()
    {
        await _process.DisposeAsync();
        await _writer.StopAsync(CancellationToken.None);
        await _source.DisposeAsync();
        await _database.DisposeAsync();
    }

    public void Dispose() => _writer.Dispose();

    private async Task RevokeAsync(int count, int from = 1)
    {
        for (int i = from; i < from + count; i++)
        {
            await _writer.AppendAsync(new RevokeTokenAct
            {
                Caller = "admin:test",
                Correlation = Correlation.None,
                TokenHash = TokenHash.Of($"token {i}"),
                Reason = "because",
                KeepUntil = DateTimeOffset.UtcNow.AddDays(30),
            }, CancellationToken.None);
        }
    }

    private async Task<ListRevocationsResponse> List(ListRevocationsRequest request) =>
        await new FeedService.FeedServiceClient(_process.Channel().Calls).ListRevocationsAsync(request);

    private async Task RefusedAsync(Reason reason, ListRevocationsRequest request) =>
        Assert.Equal(reason, (await Assert.ThrowsAsync<Refusal>(() => List(request))).Reason);

    private static IEnumerable<long> Numbers(ListRevocationsResponse page) => page.Revocations.Select(r => r.RevocationSeq);
}
