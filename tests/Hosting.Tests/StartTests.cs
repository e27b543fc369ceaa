using ClawBureau.Hosting.Tests.Processes;
using ClawBureau.Hosting.Tls;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace ClawBureau.Hosting.Tests;

public sealed class StartTests
{
    [Theory]
    [InlineData("CLAW_LISTEN", null, "CLAW_LISTEN is not set")]
    [InlineData("CLAW_LISTEN", "127.0.0.1:0", "https://ADDRESS:PORT")]
    [InlineData("CLAW_LISTEN", "https://example.com:1", "https://ADDRESS:PORT")]
    [InlineData("CLAW_LISTEN", "http://127.0.0.1:0", "CLAW_ALLOW_PLAINTEXT=1")]
    [InlineData("CLAW_LISTEN", "http://0.0.0.0:0", "loopback only")]
    [InlineData("CLAW_TLS_CERT_FILE", null, "CLAW_TLS_CERT_FILE")]
    [InlineData("CLAW_TLS_KEY_FILE", "/nowhere/key.pem", "/nowhere/key.pem")]
    [InlineData("CLAW_TLS_CA_FILE", "/nowhere/ca.pem", "/nowhere/ca.pem")]
    [InlineData("CLAW_ADMIN_KEYS_FILE", "/nowhere/keys.json", "/nowhere/keys.json")]
    [InlineData("CLAW_SHUTDOWN_SECONDS", "soon", "CLAW_SHUTDOWN_SECONDS is 'soon'")]
    [InlineData("CLAW_MAX_CONNECTIONS", "0", "whole number from 1")]
    [InlineData("CLAW_LOG_FORMAT", "xml", "text, json")]
    [InlineData("CLAW_ALLOW_PLAINTEXT", "yes", "1 or 0")]
    public async Task A_setting_that_cannot_be_used_refuses_the_start_with_one_sentence(string name, string? value, string expected)
    {
        var refused = await Assert.ThrowsAsync<StartRefused>(() =>
            RunningProcess.StartAsync(_ => { }, new Dictionary<string, string?> { [name] = value }));

        Assert.Contains(expected, refused.Message);
        Assert.DoesNotContain('\n', refused.Message);
    }

    [Fact]
    public async Task Plain_http_off_loopback_is_refused_even_when_allowed() => await Assert.ThrowsAsync<StartRefused>(() =>
        RunningProcess.StartAsync(_ => { }, new Dictionary<string, string?> { ["CLAW_LISTEN"] = "http://0.0.0.0:0", ["CLAW_ALLOW_PLAINTEXT"] = "1" }));

    [Fact]
    public async Task Plain_http_on_loopback_is_served_when_allowed()
    {
        await using var process = await RunningProcess.ProbeAsync(
            (_, _) => Task.FromResult("plain"), settings: new Dictionary<string, string?> { ["CLAW_LISTEN"] = "http://127.0.0.1:0", ["CLAW_ALLOW_PLAINTEXT"] = "1" });
        using var channel = Peers.PeerChannel.Create(process.Address, new Peers.PeerOptions { AllowPlaintext = true });

        Assert.Equal("plain", await channel.ProbeAsync(CallKind.Unary));
        Assert.Throws<StartRefused>(() => Peers.PeerChannel.Create(process.Address, new Peers.PeerOptions()));
    }

    [Fact]
    public async Task A_key_that_does_not_fit_its_certificate_refuses_the_start()
    {
        var folder = await Certificates.OursAsync();

        await Assert.ThrowsAsync<StartRefused>(() =>
            RunningProcess.StartAsync(_ => { }, new Dictionary<string, string?> { ["CLAW_TLS_KEY_FILE"] = Path.Combine(folder, "verifier.key") }));
    }

    [Fact]
    public async Task An_address_in_use_refuses_the_start()
    {
        await using var first = await RunningProcess.StartAsync(_ => { });

        var refused = await Assert.ThrowsAsync<StartRefused>(() => RunningProcess.StartAsync(
            _ => { }, new Dictionary<string, string?> { ["CLAW_LISTEN"] = first.Address.ToString() }));

        Assert.Contains("CLAW_LISTEN", refused.Message);
    }

    [Fact]
    public async Task Connections_streams_headers_and_silent_peers_are_bounded()
    {
        await using var process = await RunningProcess.StartAsync(
            _ => { }, new Dictionary<string, string?> { ["CLAW_MAX_CONNECTIONS"] = "17", ["CLAW_MAX_STREAMS_PER_CONNECTION"] = "3" });

        var limits = process.App.Services.GetRequiredService<IOptions<KestrelServerOptions>>().Value.Limits;
        Assert.Equal((17, 3), (limits.MaxConcurrentConnections, limits.Http2.MaxStreamsPerConnection));
        Assert.Equal((4096, 32 * 1024), (limits.Http2.HeaderTableSize, limits.MaxRequestHeadersTotalSize));
        Assert.NotNull(limits.MinRequestBodyDataRate);
        Assert.True(limits.Http2.KeepAlivePingDelay < TimeSpan.FromMinutes(1));
    }

    [Fact]
    public void Arguments_are_refused() => Assert.Throws<StartRefused>(() => ServiceProcess.CreateBuilder(["--help"], "issuer"));

    [Fact]
    public async Task Run_returns_1_and_prints_the_sentence_alone_when_the_start_is_refused()
    {
        var stderr = Console.Error;
        using var captured = new StringWriter();
        Console.SetError(captured);
        try
        {
            Assert.Equal(1, await ServiceProcess.RunAsync(() =>
            {
                var builder = ServiceProcess.CreateBuilder([], "issuer");
                builder.Configuration.AddInMemoryCollection([KeyValuePair.Create("CLAW_LISTEN", (string?)"")]);
                return builder.Build();
            }));
        }
        finally
        {
            Console.SetError(stderr);
        }

        Assert.Equal("CLAW_LISTEN is not set: set it to the addresses to serve on, such as https://127.0.0.1:7410.", captured.ToString().TrimEnd());
    }

    [Fact]
    public async Task Run_returns_0_when_the_process_was_told_to_stop()
    {
        var (app, logs, _) = await RunningProcess.BuildAsync(_ => { });
        app.Lifetime.ApplicationStarted.Register(app.Lifetime.StopApplication);

        Assert.Equal(0, await ServiceProcess.RunAsync(() => app));
        Assert.Contains(logs.Lines, line => line.Event == "process.started");
    }

    [Fact]
    public async Task Options_of_a_service_are_read_before_it_serves()
    {
        var refused = await Assert.ThrowsAsync<StartRefused>(() => RunningProcess.StartAsync(
            _ => { }, add: services => services.AddSettings(settings => settings.Required("CLAW_DATABASE_ISSUER", "to the connection string of the ledger"))));

        Assert.Equal("CLAW_DATABASE_ISSUER is not set: set it to the connection string of the ledger.", refused.Message);
    }

    [Theory]
    [InlineData("https://127.0.0.1:7410", "https://127.0.0.1:7410")]
    [InlineData("https://localhost:1/", "https://127.0.0.1:1")]
    [InlineData("https://[::1]:1, http://127.0.0.1:2", "https://[::1]:1 http://127.0.0.1:2")]
    [InlineData("https://*:7410", "https://[::]:7410")]
    public void Listen_addresses_are_read(string text, string expected) => Assert.Equal(expected, string.Join(' ', ListenAddress.ParseList(text)));

    [Fact]
    public void Numbers_seconds_and_flags_have_defaults()
    {
        var settings = new Settings(new ConfigurationBuilder().AddInMemoryCollection([KeyValuePair.Create("A", (string?)" "), KeyValuePair.Create("B", (string?)" 1.5 ")]).Build());

        Assert.Equal(7, settings.Number("A", 7, 0, 10));
        Assert.False(settings.Flag("A"));
        Assert.Equal(TimeSpan.FromSeconds(1.5), settings.Seconds("B", TimeSpan.Zero, TimeSpan.Zero, TimeSpan.FromSeconds(2)));
    }
}
