using ClawBureau.Hosting.Health;
using ClawBureau.Hosting.Tests.Processes;
using ClawBureau.Tokens;
using Grpc.Health.V1;
using Microsoft.Extensions.DependencyInjection;
using Status = Grpc.Health.V1.HealthCheckResponse.Types.ServingStatus;

namespace ClawBureau.Hosting.Tests;

public sealed class HealthTests
{
    [Fact]
    public async Task Check_follows_the_conditions_for_the_process_and_each_service()
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult(""));
        using var channel = process.Connect();
        var health = new Grpc.Health.V1.Health.HealthClient(channel.Calls);
        var readiness = process.App.Services.GetRequiredService<Readiness>();

        async Task<Status> CheckAsync(string service) => (await health.CheckAsync(new HealthCheckRequest { Service = service })).Status;

        Assert.Equal(Status.Serving, await CheckAsync(""));
        readiness.SetNotReady("ledger", "The ledger cannot be reached");
        readiness.SetNotReady("keys", "No signing key");
        Assert.Equal(Status.NotServing, await CheckAsync("clawbureau.probe.v1.ProbeService"));
        readiness.SetReady("keys");
        Assert.Equal(Status.NotServing, await CheckAsync(""));
        readiness.SetReady("ledger");
        Assert.Equal(Status.Serving, await CheckAsync("clawbureau.probe.v1.ProbeService"));
        Assert.Equal(Reason.NotFound, (await Assert.ThrowsAsync<Refusal>(() => CheckAsync("no.such.Service"))).Reason);
    }

    [Fact]
    public async Task Watch_tells_each_change_and_last_of_all_that_the_process_stops()
    {
        var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult(""));
        using var channel = process.Connect();
        var readiness = process.App.Services.GetRequiredService<Readiness>();
        using var watch = new Grpc.Health.V1.Health.HealthClient(channel.Calls).Watch(new HealthCheckRequest());

        async Task<Status> NextAsync()
        {
            Assert.True(await watch.ResponseStream.MoveNext(CancellationToken.None));
            return watch.ResponseStream.Current.Status;
        }

        Assert.Equal(Status.Serving, await NextAsync());
        readiness.SetNotReady("ledger", "down");
        Assert.Equal(Status.NotServing, await NextAsync());
        readiness.SetNotReady("ledger", "down still");
        readiness.SetReady("ledger");
        Assert.Equal(Status.Serving, await NextAsync());
        await process.DisposeAsync();
        Assert.Equal(Status.NotServing, await NextAsync());
        Assert.Equal(Reason.NotReady, (await Assert.ThrowsAsync<Refusal>(() => watch.ResponseStream.MoveNext(CancellationToken.None))).Reason);
    }

    [Fact]
    public async Task Watch_of_an_unknown_service_stays_open()
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult(""));
        using var channel = process.Connect();
        using var watch = new Grpc.Health.V1.Health.HealthClient(channel.Calls).Watch(new HealthCheckRequest { Service = "no.such.Service" });

        Assert.True(await watch.ResponseStream.MoveNext(CancellationToken.None));
        Assert.Equal(Status.ServiceUnknown, watch.ResponseStream.Current.Status);
        Assert.False(watch.ResponseStream.MoveNext(CancellationToken.None).IsCompleted);
    }

    [Theory]
    [InlineData(CallKind.ClientStream)]
    [InlineData(CallKind.ServerStream)]
    [InlineData(CallKind.Duplex)]
    public async Task Shutdown_ends_streams_at_once_with_a_reason_even_when_the_endpoint_swallows_it(CallKind kind)
    {
        var entered = new TaskCompletionSource();
        var process = await RunningProcess.ProbeAsync(async (_, context) =>
        {
            entered.SetResult();
            await Task.Delay(Timeout.InfiniteTimeSpan, context.CancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return "swallowed";
        });
        using var channel = process.Connect();

        var call = channel.ProbeAsync(kind);
        await entered.Task;
        await process.DisposeAsync();

        Assert.Equal(Reason.NotReady, (await Assert.ThrowsAsync<Refusal>(() => call)).Reason);
    }

    [Fact]
    public async Task Shutdown_lets_a_unary_call_finish()
    {
        var entered = new TaskCompletionSource();
        var finish = new TaskCompletionSource();
        var process = await RunningProcess.ProbeAsync(async (_, _) =>
        {
            entered.SetResult();
            await finish.Task;
            return "finished";
        });
        using var channel = process.Connect();

        var call = channel.ProbeAsync(CallKind.Unary);
        await entered.Task;
        var stopped = process.DisposeAsync();
        finish.SetResult();

        Assert.Equal("finished", await call);
        await stopped;
    }
}
