using Grpc.Core;
using Grpc.Net.Client;

namespace ClawBureau.Compat.Tests;

/// <summary>The four kinds of call, their headers and trailers, and the ways they end, over a real connection.</summary>
public sealed class CallTests : IAsyncLifetime
{
    private readonly CancellationToken patience = Patience.Token();
    private EchoServer server = null!;
    private GrpcChannel channel = null!;
    private EchoService.EchoServiceClient client = null!;

    public async Task InitializeAsync()
    {
        server = await EchoServer.StartAsync();
        channel = server.Connect();
        client = new EchoService.EchoServiceClient(channel);
    }

    public async Task DisposeAsync()
    {
        channel.Dispose();
        await server.DisposeAsync();
    }

    [Fact]
    public async Task A_unary_call_returns_its_response()
    {
        using var call = client.SayAsync(new SayRequest { Text = "hello" }, cancellationToken: patience);

        Assert.Equal("hello", (await call).Text);
        Assert.Equal(Status.DefaultSuccess, call.GetStatus());
    }

    [Fact]
    public void A_blocking_call_returns_its_response()
    {
        Assert.Equal("hello", client.Say(new SayRequest { Text = "hello" }, cancellationToken: patience).Text);
    }

    [Fact]
    public async Task A_client_stream_is_read_to_its_end()
    {
        using var call = client.Gather(cancellationToken: patience);
        foreach (var text in new[] { "one", "two", "three" })
        {
            await call.RequestStream.WriteAsync(new GatherRequest { Text = text }, patience);
        }

        await call.RequestStream.CompleteAsync();

        Assert.Equal("one two three", (await call).Text);
    }

    [Fact]
    public async Task A_server_stream_is_read_to_its_end()
    {
        using var call = client.Repeat(new RepeatRequest { Text = "again", Times = 3 }, cancellationToken: patience);
        var texts = new List<string>();
        await foreach (var response in call.ResponseStream.ReadAllAsync(patience))
        {
            texts.Add(response.Text);
        }

        Assert.Equal(["again", "again", "again"], texts);
        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
    }

    [Fact]
    public async Task A_duplex_call_answers_while_requests_still_come()
    {
        using var call = client.Converse(cancellationToken: patience);
        foreach (var text in new[] { "one", "two" })
        {
            await call.RequestStream.WriteAsync(new ConverseRequest { Text = text });
            Assert.True(await call.ResponseStream.MoveNext());
            Assert.Equal(text, call.ResponseStream.Current.Text);
        }

        await call.RequestStream.CompleteAsync();
        Assert.False(await call.ResponseStream.MoveNext(patience));
    }

    [Fact]
    public async Task Headers_and_trailers_keep_text_and_bytes()
    {
        byte[] bytes = [0x00, 0x01, 0x7f, 0x80, 0xff];
        var headers = new Metadata { { "X-Echo-Text", "text" }, { "x-echo-bytes-bin", bytes } };
        using var call = client.SayAsync(new SayRequest(), headers, cancellationToken: patience);

        await call;

        foreach (var received in new[] { await call.ResponseHeadersAsync, call.GetTrailers() })
        {
            Assert.Equal("text", received.GetValue("x-echo-text"));
            Assert.Equal(bytes, received.GetValueBytes("x-echo-bytes-bin"));
            Assert.True(received.Get("x-echo-bytes-bin")!.IsBinary);
        }
    }

    [Fact]
    public async Task A_thrown_status_arrives_with_its_detail_and_trailers()
    {
        var request = new RefuseRequest { Detail = "not now: größer" };

        var thrown = await Assert.ThrowsAsync<RpcException>(
            () => client.RefuseAsync(request, cancellationToken: patience).ResponseAsync);

        Assert.Equal(StatusCode.FailedPrecondition, thrown.StatusCode);
        Assert.Equal("not now: größer", thrown.Status.Detail);
        Assert.Equal("refused", thrown.Trailers.GetValue("x-reason"));
        Assert.Equal(EchoEndpoint.RefusalBytes, thrown.Trailers.GetValueBytes("x-reason-bin"));
    }

    [Fact]
    public async Task A_call_past_its_deadline_fails()
    {
        var deadline = TimeProvider.System.GetUtcNow().UtcDateTime.AddMilliseconds(300);
        using var call = client.WaitAsync(new WaitRequest(), deadline: deadline, cancellationToken: patience);

        var thrown = await Assert.ThrowsAsync<RpcException>(() => call.ResponseAsync);

        Assert.Equal(StatusCode.DeadlineExceeded, thrown.StatusCode);
    }

    [Fact]
    public async Task A_cancelled_call_is_cancelled_on_the_server()
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(patience);
        using var call = client.WaitAsync(new WaitRequest(), cancellationToken: cancel.Token);
        await server.Signals.Entered.Task.WaitAsync(patience);

        await cancel.CancelAsync();

        await server.Signals.Cancelled.Task.WaitAsync(patience);
        var thrown = await Assert.ThrowsAsync<RpcException>(() => call.ResponseAsync);
        Assert.Equal(StatusCode.Cancelled, thrown.StatusCode);
    }

    [Fact]
    public async Task A_disposed_call_is_cancelled_on_the_server()
    {
        var call = client.WaitAsync(new WaitRequest(), cancellationToken: patience);
        await server.Signals.Entered.Task.WaitAsync(patience);

        call.Dispose();

        await server.Signals.Cancelled.Task.WaitAsync(patience);
    }
}
