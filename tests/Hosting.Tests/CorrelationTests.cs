using ClawBureau.Hosting.Calls;
using ClawBureau.Hosting.Tests.Processes;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Hosting.Tests;

public sealed class CorrelationTests
{
    [Theory]
    [InlineData(new[] { "x-trace-id", " trace-1 " }, "trace-1 ")]
    [InlineData(new[] { "x-trace-id", "trace-1", "x-correlation-id", "corr 2" }, "trace-1 corr 2")]
    [InlineData(new[] { "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }, "0af7651916cd43dd8448eb211c80319c ")]
    [InlineData(new[] { "x-trace-id", "mine", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }, "mine ")]
    public async Task Ids_of_the_caller_reach_the_endpoint_and_come_back(string[] headers, string expected)
    {
        await using var process = await EchoAsync();
        var (answer, echoed) = await CallAsync(process, headers);

        Assert.Equal(expected, answer);
        Assert.Equal(expected[..expected.IndexOf(' ')], echoed.GetValue("x-trace-id"));
        Assert.Equal(32, echoed.GetValue("x-call-id")!.Length);
    }

    [Theory]
    [InlineData(new object[] { new string[0] })]
    [InlineData(new object[] { new[] { "x-trace-id", " " } })]
    [InlineData(new object[] { new[] { "traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01" } })]
    [InlineData(new object[] { new[] { "traceparent", "garbage" } })]
    public async Task Without_a_usable_trace_id_there_is_a_new_one(string[] headers)
    {
        await using var process = await EchoAsync();
        var (answer, echoed) = await CallAsync(process, headers);

        Assert.Matches("^trc_[0-9a-f-]{36} $", answer);
        Assert.Equal(answer.TrimEnd(), echoed.GetValue("x-trace-id"));
    }

    [Theory]
    [InlineData("x-trace-id")]
    [InlineData("x-correlation-id")]
    public async Task An_id_that_is_too_long_is_refused_never_cut(string header)
    {
        await using var process = await EchoAsync();
        using var channel = process.Connect();

        var refusal = await Assert.ThrowsAsync<Refusal>(() =>
            channel.ProbeAsync(CallKind.Unary, options: new CallOptions(new Metadata { { header, new string('x', 129) } })));

        Assert.Equal((Reason.FieldTooLong, header), (refusal.Reason, refusal.Metadata["field"]));
    }

    [Fact]
    public async Task A_refused_call_has_its_ids_too()
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => throw new Refusal(Reason.NotFound));
        using var channel = process.Connect();
        using var call = new ProbeService.ProbeServiceClient(channel.Channel).UnaryAsync(new ProbeRequest(), new Metadata { { "x-trace-id", "t" } });

        await Assert.ThrowsAsync<RpcException>(async () => await call);

        var headers = await call.ResponseHeadersAsync;
        Assert.Equal("t", headers.GetValue("x-trace-id"));
        Assert.NotNull(headers.GetValue("x-call-id"));
    }

    [Fact]
    public async Task A_deadline_that_leaves_no_time_is_refused_before_anything_is_done()
    {
        var called = false;
        var time = new ManualTime();
        await using var process = await RunningProcess.ProbeAsync(
            (_, _) =>
            {
                called = true;
                return Task.FromResult("");
            },
            time: time);
        using var channel = process.Connect();
        time.Advance(TimeSpan.FromMinutes(2)); // the call's minute is over by this clock

        var refusal = await Assert.ThrowsAsync<Refusal>(() =>
            channel.ProbeAsync(CallKind.Unary, options: new CallOptions(deadline: DateTime.UtcNow.AddMinutes(1))));

        Assert.Equal((Reason.DeadlineTooShort, false), (refusal.Reason, called));
    }

    private static Task<RunningProcess> EchoAsync() => RunningProcess.ProbeAsync((_, context) =>
        Task.FromResult($"{context.GetCorrelation().TraceId} {context.GetCorrelation().CorrelationId}"));

    private static async Task<(string Answer, Metadata Headers)> CallAsync(RunningProcess process, string[] headers)
    {
        using var channel = process.Connect();
        var metadata = new Metadata();
        foreach (var pair in headers.Chunk(2))
        {
            metadata.Add(pair[0], pair[1]);
        }
        using var call = new ProbeService.ProbeServiceClient(channel.Calls).UnaryAsync(new ProbeRequest(), metadata);
        return ((await call).Text, await call.ResponseHeadersAsync);
    }
}
