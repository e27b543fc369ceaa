using ClawBureau.Hosting.Health;
using ClawBureau.Ledger.Reading;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Grpc.AspNetCore.Server;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Introspector.Tests;

/// <summary>After a revoke is answered, no introspection that starts later says active (L3, I36), for few reads of the ledger (I39).</summary>
public sealed class FreshnessTests
{
    [Fact]
    public async Task No_introspection_that_starts_after_a_revoke_was_answered_says_active_on_any_replica()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var second = await introspector.AddReplicaAsync();

        var log = await FreshnessLoad.RunAsync(introspector, [introspector.Introspection, new(second.Channel().Calls)], tokens: 300, askers: 32, asked: 150);

        Assert.Empty(log.FindViolations());
        Assert.True(log.Answers >= 4_800, $"{log.Answers} answers");
        Assert.True(log.AnswersAfterRevoke > 500, $"only {log.AnswersAfterRevoke} answers prove anything");
        Assert.True(log.ActiveAnswers > 100, $"only {log.ActiveAnswers} answers were active");
    }

    /// <summary>
    /// The read under way has seen the ledger, its answer is still on the wire, a revocation is answered, an introspection
    /// arrives: it must wait for another read. The one that joins is the negative control: the check must see it fail.
    /// </summary>
    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 1)]
    public async Task An_introspection_never_rests_on_a_read_that_began_before_it(bool joinsReadUnderWay, int violations)
    {
        await using var wire = new LateWire();
        var arrivals = new Arrivals();
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked, through: wire.Through, add: services =>
        {
            services.AddSingleton(arrivals);
            services.AddOptions<GrpcServiceOptions>().Configure(grpc => grpc.Interceptors.Add<ArrivalInterceptor>());
            services.AddSingleton(s => new LedgerFollower(
                s.GetRequiredService<LedgerReader>(), s.GetRequiredService<RevocationSet>(), s.GetRequiredService<FeedRing>(), s.GetRequiredService<Watches>(), s.GetRequiredService<IntrospectorOptions>(),
                s.GetRequiredService<Readiness>(), s.GetRequiredService<IntrospectorClock>(), s.GetRequiredService<TimeProvider>(), s.GetRequiredService<ILogger<LedgerFollower>>())
            { JoinsReadUnderWay = joinsReadUnderWay });
        });
        var token = introspector.Sign();
        var log = new FreshnessLog();
        Assert.True((await introspector.IntrospectAsync(token)).Active);

        var held = wire.Held.Hold();
        var early = introspector.IntrospectAsync(introspector.Sign());
        await held.WaitAsync(TimeSpan.FromSeconds(20));
        await introspector.RevokeAsync(token);
        log.Revoked(0);
        var arrived = arrivals.Next();
        long started = FreshnessLog.Now();
        var late = introspector.IntrospectAsync(token);
        await arrived.WaitAsync(TimeSpan.FromSeconds(20));
        wire.Held.Release();
        log.Answered(0, started, (await late).Active);

        Assert.True((await early).Active);
        Assert.Equal(violations, log.FindViolations().Count);
        Assert.Equal(1, log.AnswersAfterRevoke);
    }

    [Fact]
    public async Task Ten_thousand_introspections_need_few_reads_and_never_two_at_once()
    {
        await using var wire = new LateWire();
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked, through: wire.Through);
        var token = introspector.Sign();
        await introspector.IntrospectAsync(token);
        var calls = introspector.Introspection;
        long before = introspector.Follower.Polls;
        wire.Held.CountAnew();

        int left = 10_000;
        await Task.WhenAll(Enumerable.Range(0, 64).Select(_ => Task.Run(async () =>
        {
            while (Interlocked.Decrement(ref left) >= 0)
                Assert.True((await calls.IntrospectTokenAsync(new IntrospectTokenRequest { Token = token.Compact })).Active);
        })));
        Assert.InRange(introspector.Follower.Polls - before, 10_000 / 64, 5_000);
        Assert.Equal(1, wire.Held.MostUnderWay);
    }

    [Fact]
    public async Task While_nobody_asks_and_nobody_watches_the_ledger_is_left_alone()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked);
        var token = introspector.Sign();
        long before = introspector.Follower.Polls;
        for (int i = 1; i <= 3; i++)
        {
            await introspector.IntrospectAsync(token);
            Assert.Equal(before + i, introspector.Follower.Polls);
        }
    }
}

/// <summary>Tells when a call has reached its endpoint and done what it does without waiting.</summary>
internal sealed class Arrivals
{
    private volatile TaskCompletionSource? _next;

    public Task Next() => (_next = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    public void Arrived() => _next?.TrySetResult();
}

internal sealed class ArrivalInterceptor(Arrivals arrivals) : Interceptor
{
    public override Task<TResponse> UnaryServerHandler<TRequest, TResponse>(TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
    {
        var answer = continuation(request, context);
        arrivals.Arrived();
        return answer;
    }
}
