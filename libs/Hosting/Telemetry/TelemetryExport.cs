using Microsoft.Extensions.Hosting;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace ClawBureau.Hosting.Telemetry;

/// <summary>
/// Sends traces and metrics to an OTLP collector while OTEL_EXPORTER_OTLP_ENDPOINT names one; else does nothing. The framework's
/// own sources are used: no instrumentation packages.
/// </summary>
internal sealed class TelemetryExport(Settings settings, IHostEnvironment environment) : IHostedService, IDisposable
{
    private static readonly string[] Sources = [SuiteMetrics.MeterName, "Microsoft.AspNetCore", "System.Net.Http", "Npgsql"];
    private static readonly string[] Meters =
        [SuiteMetrics.MeterName, "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Net.Http", "System.Runtime", "Npgsql"];

    private TracerProvider? _traces;
    private MeterProvider? _metrics;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (settings.Text("OTEL_EXPORTER_OTLP_ENDPOINT") is not { } endpoint) return Task.CompletedTask;
        if (!Uri.TryCreate(endpoint.TrimEnd('/') + "/", UriKind.Absolute, out var collector))
            throw new StartRefused("OTEL_EXPORTER_OTLP_ENDPOINT is no address: it looks like http://127.0.0.1:4317.");
        var protocol = settings.Text("OTEL_EXPORTER_OTLP_PROTOCOL") switch
        {
            null or "grpc" => OtlpExportProtocol.Grpc,
            "http/protobuf" => OtlpExportProtocol.HttpProtobuf,
            _ => throw new StartRefused("OTEL_EXPORTER_OTLP_PROTOCOL is neither grpc nor http/protobuf."),
        };
        var resource = ResourceBuilder.CreateDefault().AddService($"clawbureau-{environment.ApplicationName}");
        _traces = Sdk.CreateTracerProviderBuilder().SetResourceBuilder(resource).AddSource(Sources).AddOtlpExporter(to => Address(to, "v1/traces")).Build();
        _metrics = Sdk.CreateMeterProviderBuilder().SetResourceBuilder(resource).AddMeter(Meters).AddOtlpExporter(to => Address(to, "v1/metrics")).Build();
        return Task.CompletedTask;

        void Address(OtlpExporterOptions to, string path) =>
            (to.Protocol, to.Endpoint) = (protocol, protocol == OtlpExportProtocol.Grpc ? collector : new Uri(collector, path));
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        _traces?.ForceFlush(2000);
        _metrics?.ForceFlush(2000);
        return Task.CompletedTask;
    }

    public void Dispose()
    {
        _traces?.Dispose();
        _metrics?.Dispose();
    }
}
