using ClawBureau.Hosting.Calls;
using ClawBureau.Hosting.Peers;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Hosting.Tests.Processes;
using ClawBureau.Tokens;
using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting.Tests;

public sealed class RefusalTests
{
    public static TheoryData<CallKind> Kinds => [.. Enum.GetValues<CallKind>()];

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task A_refusal_crosses_the_wire_with_reason_sentence_and_metadata(CallKind kind)
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => throw new Refusal(
            Reason.ScopeNotAllowed, "scope 'x' is not allowed for tier 't'", new Dictionary<string, string> { ["field"] = "scope", ["tier"] = "t" }));
        using var channel = process.Connect();

        var refusal = await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(kind));

        Assert.Equal(Reason.ScopeNotAllowed, refusal.Reason);
        Assert.Equal("scope 'x' is not allowed for tier 't'", refusal.Sentence);
        Assert.Equal(new Dictionary<string, string> { ["field"] = "scope", ["tier"] = "t" }, refusal.Metadata);
        Assert.DoesNotContain(process.Logs.Lines, line => line.Level >= LogLevel.Warning);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task What_nobody_expected_is_INTERNAL_with_a_fixed_sentence_and_logged_once(CallKind kind)
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => throw new InvalidDataException("password=hunter2 at /srv/x"));
        using var channel = process.Connect();

        var refusal = await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(kind));

        Assert.Equal(Reason.Internal, refusal.Reason);
        Assert.Equal(ReasonCatalog.Of(Reason.Internal).Sentence, refusal.Sentence);
        var error = Assert.Single(process.Logs.Lines, line => line.Level >= LogLevel.Error);
        Assert.Equal("call.failed", error.Event);
        Assert.Contains("hunter2", error.Text);
        Assert.Contains(refusal.Metadata["call_id"], error.Text);
        Assert.DoesNotContain("hunter2", refusal.InnerException!.ToString());
    }

    [Fact]
    public async Task Foreign_clients_find_code_reason_domain_and_remedy_in_the_status_details()
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => throw new Refusal(Reason.LedgerOverloaded));
        using var channel = process.Connect();

        var exception = await Assert.ThrowsAsync<RpcException>(async () =>
            await new ProbeService.ProbeServiceClient(channel.Channel).UnaryAsync(new ProbeRequest()));

        var entry = ReasonCatalog.Of(Reason.LedgerOverloaded);
        Assert.Equal((StatusCode.ResourceExhausted, entry.Sentence), (exception.StatusCode, exception.Status.Detail));
        var status = Google.Rpc.Status.Parser.ParseFrom(exception.Trailers.GetValueBytes("grpc-status-details-bin"));
        Assert.Equal((int)StatusCode.ResourceExhausted, status.Code);
        Assert.Equal(entry.Sentence, status.Message);
        var info = status.Details[0].Unpack<Google.Rpc.ErrorInfo>();
        Assert.Equal(("LEDGER_OVERLOADED", "clawbureau", entry.Remedy), (info.Type, info.Domain, info.Metadata["remedy"]));
        Assert.True(status.Details[1].Unpack<Google.Rpc.RetryInfo>().RetryDelay.ToTimeSpan() > TimeSpan.Zero);
    }

    [Fact]
    public async Task A_peer_that_cannot_be_reached_is_PEER_UNAVAILABLE()
    {
        Uri address;
        string folder;
        await using (var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult("")))
        {
            (address, folder) = (process.Address, process.Folder);
        }
        using var channel = PeerChannel.Create(address, new PeerOptions { CaFile = Path.Combine(folder, "ca.crt") });

        var refusal = await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(CallKind.Unary));

        Assert.Equal(Reason.PeerUnavailable, refusal.Reason);
    }

    [Fact]
    public async Task A_server_whose_certificate_another_CA_signed_is_not_talked_to()
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult(""));
        using var channel = PeerChannel.Create(process.Address, new PeerOptions { CaFile = Path.Combine(await Certificates.OthersAsync(), "ca.crt") });

        Assert.Equal(Reason.PeerUnavailable, (await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(CallKind.Unary))).Reason);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task A_caller_that_cancels_gets_his_own_cancellation_and_nothing_is_logged_as_error(CallKind kind)
    {
        var entered = new TaskCompletionSource();
        var left = new TaskCompletionSource();
        await using var process = await RunningProcess.ProbeAsync(async (_, context) =>
        {
            entered.SetResult();
            try
            {
                await Task.Delay(Timeout.InfiniteTimeSpan, context.CancellationToken);
            }
            finally
            {
                left.SetResult();
            }
            return "";
        });
        using var channel = process.Connect();
        using var cancel = new CancellationTokenSource();

        var call = channel.ProbeAsync(kind, options: new CallOptions(cancellationToken: cancel.Token));
        await entered.Task;
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        await left.Task;
        Assert.DoesNotContain(process.Logs.Lines, line => line.Level >= LogLevel.Error);
    }

    [Fact]
    public async Task A_unary_call_without_deadline_ends_at_the_default_one()
    {
        await using var process = await RunningProcess.ProbeAsync(
            async (_, context) =>
            {
                await Task.Delay(Timeout.InfiniteTimeSpan, context.GetDeadlineToken());
                return "";
            },
            settings: new Dictionary<string, string?> { ["CLAW_UNARY_DEADLINE_SECONDS"] = "0.05" });
        using var channel = process.Connect();

        var exception = await Assert.ThrowsAsync<RpcException>(async () =>
            await new ProbeService.ProbeServiceClient(channel.Channel).UnaryAsync(new ProbeRequest()));

        Assert.Equal(StatusCode.DeadlineExceeded, exception.StatusCode);
    }

    [Fact]
    public async Task A_peer_that_misses_the_deadline_is_PEER_UNAVAILABLE_and_the_endpoint_is_told()
    {
        var told = new TaskCompletionSource();
        await using var process = await RunningProcess.ProbeAsync(async (_, context) =>
        {
            context.CancellationToken.Register(told.SetResult);
            await told.Task;
            context.CancellationToken.ThrowIfCancellationRequested();
            return "";
        });
        using var channel = process.Connect();

        var refusal = await Assert.ThrowsAsync<Refusal>(() =>
            channel.ProbeAsync(CallKind.Unary, options: new CallOptions(deadline: DateTime.UtcNow.AddMilliseconds(200))));

        Assert.Equal(Reason.PeerUnavailable, refusal.Reason);
        await told.Task;
        Assert.DoesNotContain(process.Logs.Lines, line => line.Level >= LogLevel.Error);
    }

    [Fact]
    public async Task A_message_larger_than_the_limit_is_RESOURCE_EXHAUSTED()
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult(""));
        using var channel = process.Connect();

        var refusal = await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(CallKind.Unary, new string('x', 1024 * 1024 + 1)));

        Assert.Equal(StatusCode.ResourceExhausted, Assert.IsType<RpcException>(refusal.InnerException).StatusCode);
        Assert.DoesNotContain(process.Logs.Lines, line => line.Event == "call.failed");
    }

    [Fact]
    public async Task Compressed_requests_are_not_taken()
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult(""));

        var status = await RawCalls.SendAsync(process, "/clawbureau.probe.v1.ProbeService/Unary", isCompressed: true, [0x1f, 0x8b]);

        Assert.Equal(StatusCode.Unimplemented, status);
    }

    [Fact]
    public async Task A_request_that_is_no_message_is_the_callers_mistake_and_no_error_of_ours()
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult(""));

        var status = await RawCalls.SendAsync(process, "/clawbureau.probe.v1.ProbeService/Unary", isCompressed: false, [0x0a, 0xff, 0xff]);

        Assert.Equal(StatusCode.InvalidArgument, status);
        Assert.Contains(process.Logs.Lines, line => line.Event == "call.unreadable");
    }

    [Fact]
    public async Task Who_leaves_in_the_middle_of_a_request_has_sent_nothing_wrong()
    {
        var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult(""));
        await using (process)
        {
            using var leaving = new CancellationTokenSource();
            var call = RawCalls.BeginAsync(process, "/clawbureau.probe.v1.ProbeService/Unary", [0, 0, 0, 0, 9, 0x0a], leaving.Token);
            Assert.True(SpinWait.SpinUntil(() => process.Logs.Lines.Any(line => line.Text.Contains("Request starting", StringComparison.Ordinal)), TimeSpan.FromSeconds(20)));

            await leaving.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        }

        Assert.DoesNotContain(process.Logs.Lines, line => line.Event == "call.unreadable");
        Assert.DoesNotContain(process.Logs.Lines, line => line.Level >= LogLevel.Warning);
    }

    [Fact]
    public void Every_reason_has_code_sentence_status_and_remedy()
    {
        foreach (var reason in Enum.GetValues<Reason>().Except([Reason.Unspecified]))
        {
            var entry = ReasonCatalog.Of(reason);
            Assert.NotEmpty(entry.Sentence);
            Assert.NotEmpty(entry.Remedy);
            Assert.InRange(entry.HttpStatus, 400, 599);
            Assert.InRange(entry.GrpcCode, StatusCode.Cancelled, StatusCode.Unauthenticated);
            Assert.True(ReasonCatalog.TryFind(entry.Code, out var found) && found == entry);
            Assert.Equal(reason.ToString(), entry.Code.Replace("_", ""), ignoreCase: true);
        }
    }
}
