using System.Net.Sockets;
using ClawBureau.Hosting.Callers;
using ClawBureau.Hosting.Calls;
using ClawBureau.Hosting.Health;
using ClawBureau.Hosting.Logs;
using ClawBureau.Hosting.Reflection;
using ClawBureau.Hosting.Telemetry;
using ClawBureau.Hosting.Tls;
using Grpc.AspNetCore.Server;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using Microsoft.Extensions.Options;

namespace ClawBureau.Hosting;

/// <summary>What every gRPC process of the suite has in common. A Program.cs makes a builder here, adds its own parts, and runs.</summary>
public static class ServiceProcess
{
    /// <summary>
    /// A builder with configuration from the environment, listeners, limits, TLS, gRPC with callers and refusals, health and logs.
    /// Configuration is read when the application is built, so what is added to it before counts.
    /// </summary>
    /// <param name="args">The command line; there is nothing to say on it.</param>
    /// <param name="service">The process's name, as in its certificate: <c>issuer</c>.</param>
    /// <param name="protocols">What it listens for; HTTP/1.1 only where there is more than gRPC.</param>
    /// <exception cref="StartRefused">There are arguments.</exception>
    public static WebApplicationBuilder CreateBuilder(string[] args, string service, HttpProtocols protocols = HttpProtocols.Http2)
    {
        if (args.Length > 0) throw new StartRefused($"{service} takes no arguments: configure it by environment variables.");

        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = service });
        builder.Configuration.AddEnvironmentVariables();
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration();

        var services = builder.Services;
        AddLogs(services);
        services.AddSingleton(TimeProvider.System);
        services.AddSingleton<Settings>();
        services.AddSettings(ProcessOptions.From);
        services.AddSingleton(new ListenProtocols(protocols));
        services.AddSingleton<IConfigureOptions<KestrelServerOptions>, KestrelSetup>();
        services.AddOptions<HostOptions>().Configure<ProcessOptions>((host, options) => host.ShutdownTimeout = options.ShutdownWithin);

        services.AddSingleton(CallerTable.Suite);
        services.AddSingleton<AdminKeys>();
        services.AddSingleton<ICallerTokens, NoCallerTokens>();
        services.AddSingleton<CallerGate>();
        services.AddSingleton<CallInterceptor>();
        services.AddSingleton<Readiness>();
        services.AddSingleton<HealthEndpoint>();
        services.AddSingleton<ReflectionEndpoint>();
        services.AddHostedService<TelemetryExport>();
        services.AddGrpc(grpc =>
        {
            grpc.EnableDetailedErrors = false;
            grpc.Interceptors.Add<CallInterceptor>();
        });
        services.AddOptions<GrpcServiceOptions>().Configure<ProcessOptions>((grpc, options) =>
        {
            grpc.MaxReceiveMessageSize = options.MaxMessageBytes;
            grpc.CompressionProviders = []; // a small request could become a large one; after AddGrpc, which fills an empty list
        });
        return builder;
    }

    /// <summary>Adds options that are read and validated before the process serves.</summary>
    /// <param name="services">Of the builder.</param>
    /// <param name="read">Throws <see cref="StartRefused"/> for values that cannot be used.</param>
    public static IServiceCollection AddSettings<T>(this IServiceCollection services, Func<Settings, T> read)
        where T : class
    {
        services.AddSingleton(provider => read(provider.GetRequiredService<Settings>()));
        return services.AddSingleton(new StartCheck(provider => provider.GetRequiredService<T>()));
    }

    /// <summary>Builds the application and runs it until the process is told to stop. The process leaves no core dump: it holds seeds, keys and tokens.</summary>
    /// <returns>The exit code: 0, or 1 when the start was refused; stderr then has one sentence.</returns>
    public static async Task<int> RunAsync(Func<WebApplication> build)
    {
        var dumps = CoreDumps.TurnOff();       // before anything secret is read
        try
        {
            await using var app = build();
            if (dumps is not null) Log.CoreDumpsOn(app.Logger, dumps);
            await StartAsync(app, CancellationToken.None);
            await app.WaitForShutdownAsync(CancellationToken.None);
            return 0;
        }
        catch (StartRefused refused)
        {
            await Console.Error.WriteLineAsync(refused.Message);
            return 1;
        }
    }

    /// <summary>Maps health, checks the caller table against what is mapped, and starts to serve.</summary>
    /// <exception cref="StartRefused">The configuration, the table or an address does not allow it.</exception>
    public static async Task StartAsync(WebApplication app, CancellationToken cancellationToken)
    {
        foreach (var check in app.Services.GetServices<StartCheck>())
        {
            check.Run(app.Services);
        }
        app.Services.GetRequiredService<AdminKeys>();
        app.Services.GetRequiredService<Readiness>();

        app.UseMiddleware<UnreadableCalls>();
        app.MapGrpcService<HealthEndpoint>();
        app.MapGrpcService<ReflectionEndpoint>();
        var mapped = MappedRpcs(app);
        app.Services.GetRequiredService<CallerTable>().RequireCovers(mapped);

        var service = app.Environment.ApplicationName;
        var options = app.Services.GetRequiredService<ProcessOptions>();
        try
        {
            await app.StartAsync(cancellationToken);
        }
        catch (Exception problem) when (problem is IOException or SocketException)
        {
            throw new StartRefused($"{service} cannot listen ({problem.Message.TrimEnd('.')}): end what holds the address, or change CLAW_LISTEN.", problem);
        }
        catch (Exception problem) when (problem is not (StartRefused or OperationCanceledException))
        {
            Log.StartFailed(app.Logger, problem, service);
            throw new StartRefused($"{service} could not start ({problem.GetType().Name}): the log says why.", problem);
        }

        var addresses = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses;
        var names = string.Join(", ", mapped.Select(rpc => rpc[1..rpc.LastIndexOf('/')]).Distinct());
        var listens = string.Join(", ", addresses);
        Log.Started(app.Logger, service, names, listens);
        app.Lifetime.ApplicationStopping.Register(() => Log.Stopping(app.Logger, service, options.ShutdownWithin));
    }

    private static string[] MappedRpcs(IEndpointRouteBuilder routes) =>
    [
        .. routes.DataSources
            .SelectMany(source => source.Endpoints)
            .Select(endpoint => endpoint.Metadata.GetMetadata<GrpcMethodMetadata>()?.Method.FullName)
            .OfType<string>()
            .Distinct(StringComparer.Ordinal),
    ];

    private static void AddLogs(IServiceCollection services)
    {
        services.AddLogging(logging => logging
            .AddConsole()
            .AddConsoleFormatter<TextLines, ConsoleFormatterOptions>()
            .AddConsoleFormatter<JsonLines, ConsoleFormatterOptions>());
        // Lenient, because logs come before everything: ProcessOptions refuses what cannot be used.
        services.AddOptions<ConsoleLoggerOptions>().Configure<IConfiguration>((console, configuration) =>
            console.FormatterName = string.Equals(configuration["CLAW_LOG_FORMAT"]?.Trim(), "json", StringComparison.OrdinalIgnoreCase) ? JsonLines.Name : TextLines.Name);
        services.AddOptions<LoggerFilterOptions>().Configure<IConfiguration>((filter, configuration) =>
        {
            filter.MinLevel = Enum.TryParse<LogLevel>(configuration["CLAW_LOG_LEVEL"], ignoreCase: true, out var level) ? level : LogLevel.Information;
            var framework = filter.MinLevel > LogLevel.Warning ? filter.MinLevel : LogLevel.Warning;
            filter.AddFilter("Microsoft", framework).AddFilter("System", framework).AddFilter("Grpc", framework)
                .AddFilter(UnreadableCalls.FrameworkCategory, LogLevel.None);
        });
    }

    /// <summary>Something that is resolved before the process serves, so that what is wrong with it refuses the start.</summary>
    private sealed record StartCheck(Func<IServiceProvider, object> Resolve)
    {
        public void Run(IServiceProvider services) => Resolve(services);
    }
}
