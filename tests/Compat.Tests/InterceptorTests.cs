using Grpc.Core;
using Grpc.Core.Interceptors;

namespace ClawBureau.Compat.Tests;

/// <summary>Interceptors on both sides take part in all four kinds of call, in the order given.</summary>
public sealed class InterceptorTests
{
    private readonly CancellationToken patience = Patience.Token();

    [Fact]
    public async Task A_server_interceptor_takes_part_in_every_kind_of_call()
    {
        await using var server = await EchoServer.StartAsync(options => options.Interceptors.Add<NamesTheMethod>());
        using var channel = server.Connect();
        var client = new EchoService.EchoServiceClient(channel);

        using var say = client.SayAsync(new SayRequest(), cancellationToken: patience);
        await say;
        using var gather = client.Gather(cancellationToken: patience);
        await gather.RequestStream.CompleteAsync();
        await gather;
        using var repeat = client.Repeat(new RepeatRequest(), cancellationToken: patience);
        Assert.False(await repeat.ResponseStream.MoveNext(patience));
        using var converse = client.Converse(cancellationToken: patience);
        await converse.RequestStream.CompleteAsync();
        Assert.False(await converse.ResponseStream.MoveNext(patience));

        const string service = "/clawbureau.compat.test.EchoService";
        Assert.Equal($"unary {service}/Say", say.GetTrailers().GetValue(NamesTheMethod.Key));
        Assert.Equal($"client streaming {service}/Gather", gather.GetTrailers().GetValue(NamesTheMethod.Key));
        Assert.Equal($"server streaming {service}/Repeat", repeat.GetTrailers().GetValue(NamesTheMethod.Key));
        Assert.Equal($"duplex {service}/Converse", converse.GetTrailers().GetValue(NamesTheMethod.Key));
    }

    [Fact]
    public async Task Client_interceptors_take_part_in_every_kind_of_call_first_one_first()
    {
        await using var server = await EchoServer.StartAsync();
        using var channel = server.Connect();
        var log = new List<string>();
        var client = new EchoService.EchoServiceClient(
            channel.Intercept(new WritesDown("outer", log), new WritesDown("inner", log)));

        client.Say(new SayRequest(), cancellationToken: patience);
        await client.SayAsync(new SayRequest(), cancellationToken: patience);
        using var gather = client.Gather(cancellationToken: patience);
        await gather.RequestStream.CompleteAsync();
        await gather;
        using var repeat = client.Repeat(new RepeatRequest(), cancellationToken: patience);
        Assert.False(await repeat.ResponseStream.MoveNext(patience));
        using var converse = client.Converse(cancellationToken: patience);
        await converse.RequestStream.CompleteAsync();
        Assert.False(await converse.ResponseStream.MoveNext(patience));

        string[] methods = ["Say", "Say", "Gather", "Repeat", "Converse"];
        Assert.Equal(methods.SelectMany(method => new[] { $"outer {method}", $"inner {method}" }), log);
    }

    [Fact]
    public async Task A_header_function_replaces_the_headers_of_a_call()
    {
        await using var server = await EchoServer.StartAsync();
        using var channel = server.Connect();
        var client = new EchoService.EchoServiceClient(channel.Intercept(
            headers => [.. headers, new Metadata.Entry("x-echo-added", "yes")]));

        var given = new Metadata { { "x-echo-given", "too" } };
        var response = await client.SayAsync(new SayRequest(), given, cancellationToken: patience);

        Assert.Equal("yes", response.Headers["x-echo-added"]);
        Assert.Equal("too", response.Headers["x-echo-given"]);
    }

    private sealed class NamesTheMethod : Interceptor
    {
        public const string Key = "x-intercepted";

        public override Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
            TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
        {
            context.ResponseTrailers.Add(Key, $"unary {context.Method}");
            return continuation(request, context);
        }

        public override Task<TResponse> ClientStreamingServerHandler<TRequest, TResponse>(
            IAsyncStreamReader<TRequest> requestStream,
            ServerCallContext context,
            ClientStreamingServerMethod<TRequest, TResponse> continuation)
        {
            context.ResponseTrailers.Add(Key, $"client streaming {context.Method}");
            return continuation(requestStream, context);
        }

        public override Task ServerStreamingServerHandler<TRequest, TResponse>(
            TRequest request,
            IServerStreamWriter<TResponse> responseStream,
            ServerCallContext context,
            ServerStreamingServerMethod<TRequest, TResponse> continuation)
        {
            context.ResponseTrailers.Add(Key, $"server streaming {context.Method}");
            return continuation(request, responseStream, context);
        }

        public override Task DuplexStreamingServerHandler<TRequest, TResponse>(
            IAsyncStreamReader<TRequest> requestStream,
            IServerStreamWriter<TResponse> responseStream,
            ServerCallContext context,
            DuplexStreamingServerMethod<TRequest, TResponse> continuation)
        {
            context.ResponseTrailers.Add(Key, $"duplex {context.Method}");
            return continuation(requestStream, responseStream, context);
        }
    }

    private sealed class WritesDown(string name, List<string> log) : Interceptor
    {
        public override TResponse BlockingUnaryCall<TRequest, TResponse>(
            TRequest request,
            ClientInterceptorContext<TRequest, TResponse> context,
            BlockingUnaryCallContinuation<TRequest, TResponse> continuation)
        {
            log.Add($"{name} {context.Method.Name}");
            return continuation(request, context);
        }

        public override AsyncUnaryCall<TResponse> AsyncUnaryCall<TRequest, TResponse>(
            TRequest request,
            ClientInterceptorContext<TRequest, TResponse> context,
            AsyncUnaryCallContinuation<TRequest, TResponse> continuation)
        {
            log.Add($"{name} {context.Method.Name}");
            return continuation(request, context);
        }

        public override AsyncServerStreamingCall<TResponse> AsyncServerStreamingCall<TRequest, TResponse>(
            TRequest request,
            ClientInterceptorContext<TRequest, TResponse> context,
            AsyncServerStreamingCallContinuation<TRequest, TResponse> continuation)
        {
            log.Add($"{name} {context.Method.Name}");
            return continuation(request, context);
        }

        public override AsyncClientStreamingCall<TRequest, TResponse> AsyncClientStreamingCall<TRequest, TResponse>(
            ClientInterceptorContext<TRequest, TResponse> context,
            AsyncClientStreamingCallContinuation<TRequest, TResponse> continuation)
        {
            log.Add($"{name} {context.Method.Name}");
            return continuation(context);
        }

        public override AsyncDuplexStreamingCall<TRequest, TResponse> AsyncDuplexStreamingCall<TRequest, TResponse>(
            ClientInterceptorContext<TRequest, TResponse> context,
            AsyncDuplexStreamingCallContinuation<TRequest, TResponse> continuation)
        {
            log.Add($"{name} {context.Method.Name}");
            return continuation(context);
        }
    }
}
