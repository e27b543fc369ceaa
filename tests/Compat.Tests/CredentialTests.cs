using Grpc.Core;

namespace ClawBureau.Compat.Tests;

/// <summary>Call credentials and client certificates over TLS.</summary>
public sealed class CredentialTests
{
    private readonly CancellationToken patience = Patience.Token();

    [Fact]
    public async Task Call_credentials_of_a_channel_and_of_a_call_both_arrive()
    {
        await using var server = await EchoServer.StartWithTlsAsync();
        var named = CallCredentials.FromInterceptor((context, headers) =>
        {
            headers.Add("authorization", $"{context.ServiceUrl} {context.MethodName}");
            return Task.CompletedTask;
        });
        using var channel = server.Connect(ChannelCredentials.Create(ChannelCredentials.SecureSsl, named));
        var client = new EchoService.EchoServiceClient(channel);

        var perCall = CallCredentials.Compose(Header("x-echo-first", "1"), Header("x-echo-second", "2"));
        var options = new CallOptions(cancellationToken: patience).WithCredentials(perCall);
        var response = await client.SayAsync(new SayRequest(), options);

        Assert.Equal(
            $"{server.Address}/clawbureau.compat.test.EchoService Say", response.Headers["authorization"]);
        Assert.Equal("1", response.Headers["x-echo-first"]);
        Assert.Equal("2", response.Headers["x-echo-second"]);
    }

    [Fact]
    public async Task The_server_knows_a_client_by_its_certificate()
    {
        await using var server = await EchoServer.StartWithTlsAsync();
        using var channel = server.Connect(withClientCertificate: true);

        var response = await new EchoService.EchoServiceClient(channel)
            .SayAsync(new SayRequest(), cancellationToken: patience);

        Assert.Contains("echo.test", response.PeerIdentity);
    }

    [Fact]
    public async Task A_client_without_a_certificate_has_no_identity()
    {
        await using var server = await EchoServer.StartWithTlsAsync();
        using var channel = server.Connect();

        var response = await new EchoService.EchoServiceClient(channel)
            .SayAsync(new SayRequest(), cancellationToken: patience);

        Assert.Empty(response.PeerIdentity);
    }

    private static CallCredentials Header(string key, string value) =>
        CallCredentials.FromInterceptor((_, headers) =>
        {
            headers.Add(key, value);
            return Task.CompletedTask;
        });
}
