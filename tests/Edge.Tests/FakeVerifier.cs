using System.Net;
using System.Security.Cryptography.X509Certificates;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Tokens;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace ClawBureau.Edge.Tests;

/// <summary>A Verifier that answers what the test says, over real TLS and gRPC.</summary>
public sealed class FakeVerifier : VerificationService.VerificationServiceBase, IAsyncDisposable
{
    private WebApplication _app = null!;

    /// <summary>From the request to the answer; may throw a <see cref="Refusal"/>.</summary>
    public Func<VerifyTokenControlRequest, VerifyTokenControlResponse> Answer { get; set; } = _ => throw new Refusal(Reason.NotReady);

    /// <summary>The same for control chains.</summary>
    public Func<VerifyControlChainRequest, VerifyControlChainResponse> AnswerChain { get; set; } = _ => throw new Refusal(Reason.NotReady);

    /// <summary>What came with the last call.</summary>
    public Metadata Headers { get; private set; } = [];

    public Uri Address => new(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());

    public static async Task<FakeVerifier> StartAsync(string certificates)
    {
        var verifier = new FakeVerifier();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Services.AddGrpc();
        builder.Services.AddSingleton(verifier);
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen =>
        {
            listen.Protocols = HttpProtocols.Http2;
            listen.UseHttps(X509Certificate2.CreateFromPemFile(Path.Combine(certificates, "verifier.crt"), Path.Combine(certificates, "verifier.key")));
        }));
        verifier._app = builder.Build();
        verifier._app.MapGrpcService<FakeVerifier>();
        await verifier._app.StartAsync();
        return verifier;
    }

    public override Task<VerifyTokenControlResponse> VerifyTokenControl(VerifyTokenControlRequest request, ServerCallContext context)
    {
        Headers = context.RequestHeaders;
        try
        {
            return Task.FromResult(Answer(request));
        }
        catch (Refusal refusal)
        {
            throw RefusalStatus.ToRpcException(refusal);
        }
    }

    public override Task<VerifyControlChainResponse> VerifyControlChain(VerifyControlChainRequest request, ServerCallContext context)
    {
        try
        {
            return Task.FromResult(AnswerChain(request));
        }
        catch (Refusal refusal)
        {
            throw RefusalStatus.ToRpcException(refusal);
        }
    }

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();
}
