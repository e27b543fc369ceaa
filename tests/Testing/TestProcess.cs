using System.Collections.Concurrent;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Health;
using ClawBureau.Hosting.Peers;
using ClawBureau.Hosting.Tls;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Testing;

/// <summary>
/// A service inside the test: its real listeners, TLS, caller table and database, on a port of its own. Everything it logs is
/// kept, and an Error nobody announced fails the test that stops it.
/// </summary>
public sealed class TestProcess : IAsyncDisposable
{
    /// <summary>The admin key that may do everything.</summary>
    public const string AdminKey = "clawadm_test_key_of_the_operator";

    private static readonly Lazy<Task<string>> Certificates = new(MakeCertificatesAsync);
    private readonly WebApplication _app;
    private readonly KeptLogs _logs;
    private readonly List<PeerChannel> _channels = [];
    private readonly string _caFile;

    private TestProcess(WebApplication app, KeptLogs logs, string caFile, Uri address) => (_app, _logs, _caFile, Address) = (app, logs, caFile, address);

    public Uri Address { get; }

    /// <summary>The CA that signed every test process's certificate.</summary>
    public string CaFile => _caFile;
    public IServiceProvider Services => _app.Services;

    /// <summary>Everything logged so far, with exceptions.</summary>
    public IReadOnlyCollection<string> Logs => [.. _logs.Lines.Select(l => l.Text)];

    /// <summary>Set by a test that means to provoke errors.</summary>
    public bool ExpectsErrors { get; set; }

    public static async Task<TestProcess> StartAsync(
        string service, Action<IServiceCollection> add, Action<WebApplication> map, IReadOnlyDictionary<string, string?> settings)
    {
        var folder = await Certificates.Value;
        var builder = ServiceProcess.CreateBuilder([], service);
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["CLAW_LISTEN"] = "https://127.0.0.1:0",
            ["CLAW_TLS_CERT_FILE"] = Path.Combine(folder, service + ".crt"),
            ["CLAW_TLS_KEY_FILE"] = Path.Combine(folder, service + ".key"),
            ["CLAW_TLS_CA_FILE"] = Path.Combine(folder, "ca.crt"),
            ["SCOPE_ADMIN_KEY"] = AdminKey,
            ["CLAW_SHUTDOWN_SECONDS"] = "5",
        });
        builder.Configuration.AddInMemoryCollection(settings);
        var logs = new KeptLogs();
        builder.Logging.ClearProviders().AddProvider(logs);
        add(builder.Services);
        var app = builder.Build();
        map(app);
        await ServiceProcess.StartAsync(app, CancellationToken.None);
        var address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First(a => a.StartsWith("https:", StringComparison.Ordinal)));
        return new TestProcess(app, logs, Path.Combine(folder, "ca.crt"), address);
    }

    /// <summary>The same, once the process says that it is ready.</summary>
    public static async Task<TestProcess> StartReadyAsync(
        string service, Action<IServiceCollection> add, Action<WebApplication> map, Dictionary<string, string?> settings)
    {
        var process = await StartAsync(service, add, map, settings);
        await Eventually.HoldsAsync($"{service} is ready", () => process.Services.GetRequiredService<Readiness>().IsReady);
        return process;
    }

    /// <summary>A channel of a caller with this key; null: of one who shows nothing.</summary>
    public PeerChannel Channel(string? adminKey = AdminKey)
    {
        var channel = PeerChannel.Create(Address, new PeerOptions { CaFile = _caFile, AdminKey = adminKey });
        lock (_channels) _channels.Add(channel);
        return channel;
    }

    /// <summary>A channel of a service, or of an operator, that shows its certificate.</summary>
    public PeerChannel ServiceChannel(string service)
    {
        var folder = Path.GetDirectoryName(_caFile)!;
        var channel = PeerChannel.Create(Address, new PeerOptions { CaFile = _caFile, ClientCertFile = Path.Combine(folder, service + ".crt"), ClientKeyFile = Path.Combine(folder, service + ".key") });
        lock (_channels) _channels.Add(channel);
        return channel;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var channel in _channels) channel.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        var errors = _logs.Lines.Where(l => l.Level >= LogLevel.Error).Select(l => l.Text).ToList();
        if (errors.Count > 0 && !ExpectsErrors) throw new InvalidOperationException("The service logged errors nobody announced:\n" + string.Join('\n', errors));
    }

    private static async Task<string> MakeCertificatesAsync()
    {
        var folder = Directory.CreateTempSubdirectory("claw-test-tls-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        await DevelopmentCa.EnsureAsync(folder, ["issuer", "introspector", "verifier", "audit-sink", "edge", "operator", "clawproxy"], TimeProvider.System, CancellationToken.None);
        return folder;
    }

    private sealed class KeptLogs : ILoggerProvider
    {
        public ConcurrentQueue<(LogLevel Level, string Text)> Lines { get; } = new();

        public ILogger CreateLogger(string categoryName) => new Kept(categoryName, Lines);

        public void Dispose()
        {
        }

        private sealed class Kept(string category, ConcurrentQueue<(LogLevel Level, string Text)> lines) : ILogger
        {
            public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

            public bool IsEnabled(LogLevel logLevel) => true;

            public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
                lines.Enqueue((logLevel, $"{logLevel} {category} {eventId.Name}: {formatter(state, exception)} {exception}"));
        }
    }
}
