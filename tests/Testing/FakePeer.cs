using System.Net;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace ClawBureau.Testing;

/// <summary>A peer of the process under test that answers what the test says, over real TLS and gRPC.</summary>
public sealed class FakePeer : IAsyncDisposable
{
    private readonly WebApplication _app;

    private FakePeer(WebApplication app) => _app = app;

    public Uri Address => new(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());

    /// <param name="service">The gRPC service, as its generated base class has it.</param>
    /// <param name="certificates">The folder of the development CA's certificates.</param>
    /// <param name="identity">Whose certificate it shows.</param>
    public static Task<FakePeer> StartAsync<TService>(TService service, string certificates, string identity)
        where TService : class =>
        StartAsync(certificates, identity, services => services.AddSingleton(service), app => app.MapGrpcService<TService>());

    /// <summary>The same with several services.</summary>
    public static async Task<FakePeer> StartAsync(string certificates, string identity, Action<IServiceCollection> add, Action<WebApplication> map)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Services.AddGrpc();
        add(builder.Services);
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen =>
        {
            listen.Protocols = HttpProtocols.Http2;
            listen.UseHttps(X509Certificate2.CreateFromPemFile(Path.Combine(certificates, identity + ".crt"), Path.Combine(certificates, identity + ".key")));
        }));
        var app = builder.Build();
        map(app);
        await app.StartAsync();
        return new FakePeer(app);
    }

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();
}
