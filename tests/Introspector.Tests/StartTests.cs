using ClawBureau.Hosting;
using ClawBureau.Hosting.Health;
using ClawBureau.Ledger;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace ClawBureau.Introspector.Tests;

public sealed class StartTests
{
    [Fact]
    public async Task What_was_revoked_before_the_start_is_known_when_it_says_that_it_is_ready()
    {
        SignedToken[] dead = [];
        long cut = 0;
        await using var introspector = await IntrospectorFixture.StartAsync(before: async ledger =>
        {
            dead = [await ledger.MintAsync(), ledger.Sign(), ledger.Sign(), ledger.Sign(IntrospectorFixture.Claims() with { Sub = "blocked" }), ledger.Sign(IntrospectorFixture.Claims() with { MissionId = "cut" })];
            await ledger.RevokeAsync(jti: dead[0].Claims.Jti);
            await ledger.RevokeAsync(dead[1]);
            await ledger.RevokeAsync(jti: dead[2].Claims.Jti);
            await ledger.BlockAsync(GroupKey.Of(RevocationKind.Subject, "", "blocked"));
            await ledger.BlockAsync(GroupKey.Of(RevocationKind.Mission, "", "cut"));
            cut = (await ledger.LiftAsync(GroupKey.Of(RevocationKind.Mission, "", "cut"))).Cut;
        });
        foreach (var token in dead) Assert.True((await introspector.IntrospectAsync(token)).Revoked);
        Assert.True((await introspector.IntrospectAsync(introspector.Sign(IntrospectorFixture.Claims() with { MissionId = "cut", IssuedAt = cut + 1 }))).Active);
        Assert.True((await introspector.IntrospectAsync(introspector.Sign())).Active);
    }

    [Fact]
    public async Task On_a_database_nobody_migrated_it_is_not_ready_and_says_what_to_do()
    {
        await using var database = await TestDatabases.CreateEmptyAsync();
        await using var process = await IntrospectorFixture.StartProcessAsync(database, new Tuning());
        var readiness = process.Services.GetRequiredService<Readiness>();
        await Eventually.HoldsAsync("it names the remedy", () => readiness.NotReady.GetValueOrDefault("ledger", "").Contains("`claw migrate`", StringComparison.Ordinal));
        Assert.False(readiness.IsReady);
        var calls = new IntrospectionService.IntrospectionServiceClient(process.Channel().Calls);
        var refusal = await Assert.ThrowsAsync<Refusal>(async () => await calls.IntrospectTokenAsync(new IntrospectTokenRequest { Token = "any" }));
        Assert.Equal(Reason.NotReady, refusal.Reason);

        await using var admin = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(database.Admin) { Pooling = false }.ConnectionString);
        await new Migrator(admin, NullLogger.Instance).MigrateAsync(CancellationToken.None);
        await IntrospectorFixture.WaitUntilReadyAsync(process);
        Assert.False((await calls.IntrospectTokenAsync(new IntrospectTokenRequest { Token = "any" })).Active);
    }

    [Theory]
    [InlineData("CLAW_DATABASE_INTROSPECTOR", null)]
    [InlineData("CLAW_FEED_HEARTBEAT_SECONDS", "never")]
    [InlineData("CLAW_FEED_LEASE_SECONDS", "0")]
    [InlineData("CLAW_FEED_MAX_SUBSCRIBERS", "0")]
    public async Task A_setting_that_cannot_be_used_stops_the_start_with_a_sentence_that_names_it(string name, string? value)
    {
        await using var database = await TestDatabases.CreateAsync();
        var refused = await Assert.ThrowsAsync<StartRefused>(() => IntrospectorFixture.StartProcessAsync(database, new Tuning(), new Dictionary<string, string?> { [name] = value }));
        Assert.Contains(name, refused.Message, StringComparison.Ordinal);
    }
}
