using ClawBureau.Hosting.Callers;
using ClawBureau.Hosting.Peers;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting.Tests.Processes;

/// <summary>A process as ServiceProcess makes it: Kestrel with TLS on a free loopback port, called over real channels.</summary>
internal sealed class RunningProcess : IAsyncDisposable
{
    public const string AdminKey = "s3cret-admin-key-of-the-tests";

    private RunningProcess(WebApplication app, CapturedLogs logs, string folder)
    {
        (App, Logs, Folder) = (app, logs, folder);
        Address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());
    }

    public WebApplication App { get; }

    public Uri Address { get; }

    public CapturedLogs Logs { get; }

    /// <summary>Where the CA and the certificates are.</summary>
    public string Folder { get; }

    /// <summary>A process whose only service is the probe, open as <paramref name="rule"/> says.</summary>
    public static Task<RunningProcess> ProbeAsync(
        Func<ProbeRequest, ServerCallContext, Task<string>> act,
        May? rule = null,
        IReadOnlyDictionary<string, string?>? settings = null,
        TimeProvider? time = null) =>
        StartAsync(
            app => app.MapGrpcService<ProbeEndpoint>(),
            settings,
            services =>
            {
                services.AddSingleton(new ProbeEndpoint(act));
                services.Replace(ServiceDescriptor.Singleton(ProbeTable(rule ?? May.Public)));
                if (time is not null) services.Replace(ServiceDescriptor.Singleton(time));
            });

    /// <param name="map">What a Program.cs would map.</param>
    /// <param name="settings">On top of the listeners, the certificate and SCOPE_ADMIN_KEY.</param>
    /// <param name="add">What a Program.cs would add.</param>
    public static async Task<RunningProcess> StartAsync(
        Action<WebApplication> map, IReadOnlyDictionary<string, string?>? settings = null, Action<IServiceCollection>? add = null)
    {
        var (app, logs, folder) = await BuildAsync(map, settings, add);
        try
        {
            await ServiceProcess.StartAsync(app, CancellationToken.None);
        }
        catch
        {
            await app.DisposeAsync();
            throw;
        }
        return new RunningProcess(app, logs, folder);
    }

    public static async Task<(WebApplication App, CapturedLogs Logs, string Folder)> BuildAsync(
        Action<WebApplication> map, IReadOnlyDictionary<string, string?>? settings = null, Action<IServiceCollection>? add = null)
    {
        var folder = await Certificates.OursAsync();
        var logs = new CapturedLogs();
        var builder = ServiceProcess.CreateBuilder([], "issuer");
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["CLAW_LISTEN"] = "https://127.0.0.1:0",
            ["CLAW_TLS_CERT_FILE"] = Path.Combine(folder, "issuer.crt"),
            ["CLAW_TLS_KEY_FILE"] = Path.Combine(folder, "issuer.key"),
            ["CLAW_TLS_CA_FILE"] = Path.Combine(folder, "ca.crt"),
            ["SCOPE_ADMIN_KEY"] = AdminKey,
            ["CLAW_SHUTDOWN_SECONDS"] = "5",
            ["CLAW_LOG_LEVEL"] = "Trace",
        });
        builder.Configuration.AddInMemoryCollection(settings ?? new Dictionary<string, string?>());
        builder.Services.AddSingleton<ILoggerProvider>(logs);
        builder.Logging.AddFilter<CapturedLogs>(null, LogLevel.Trace);
        builder.Logging.AddFilter<Microsoft.Extensions.Logging.Console.ConsoleLoggerProvider>(null, LogLevel.Critical);
        add?.Invoke(builder.Services);
        var app = builder.Build();
        map(app);
        return (app, logs, folder);
    }

    /// <param name="service">Whose certificate to show; null for none.</param>
    /// <param name="adminKey">Sent with every call.</param>
    public PeerChannel Connect(string? service = null, string? adminKey = null, string? folder = null) => PeerChannel.Create(Address, new PeerOptions
    {
        CaFile = Path.Combine(Folder, "ca.crt"),
        ClientCertFile = service is null ? null : Path.Combine(folder ?? Folder, $"{service}.crt"),
        ClientKeyFile = service is null ? null : Path.Combine(folder ?? Folder, $"{service}.key"),
        AdminKey = adminKey,
    });

    public async ValueTask DisposeAsync()
    {
        await App.StopAsync();
        await App.DisposeAsync();
    }

    public static CallerTable ProbeTable(May rule) => new(
        CallerTable.Suite.Rpcs.Where(rpc => rpc.StartsWith("/grpc.", StringComparison.Ordinal)).Select(rpc => KeyValuePair.Create(rpc, May.Public))
            .Concat(new[] { "Unary", "ClientStream", "ServerStream", "Duplex" }.Select(rpc => KeyValuePair.Create($"/clawbureau.probe.v1.ProbeService/{rpc}", rule))));
}
