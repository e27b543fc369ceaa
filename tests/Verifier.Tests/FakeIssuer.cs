using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Control.V1;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace ClawBureau.Verifier.Tests;

/// <summary>
/// What a Verifier asks an Issuer, over real TLS and gRPC: the key set is the real Issuer's, key transparency and control chains are
/// what the test says.
/// </summary>
public sealed class FakeIssuer : IAsyncDisposable
{
    private FakePeer _peer = null!;
    private int _keyReads;

    /// <summary>The real Issuer's.</summary>
    public KeyService.KeyServiceClient Real { get; private init; } = null!;

    /// <summary>May throw a <see cref="Refusal"/>.</summary>
    public Func<TransparencySnapshot> Transparency { get; set; } = null!;

    /// <summary>May throw a <see cref="Refusal"/>.</summary>
    public Func<GetControlChainRequest, GetControlChainResponse> Chain { get; set; } = _ => throw new Refusal(Reason.ControllerNotFound);

    public int KeyReads => Volatile.Read(ref _keyReads);

    public Uri Address => _peer.Address;

    public static async Task<FakeIssuer> StartAsync(string certificates, KeyService.KeyServiceClient real, SigningKey key)
    {
        var issuer = new FakeIssuer { Real = real };
        issuer.Transparency = () => Sign(key, DateTimeOffset.UtcNow, key.VerificationKey);
        issuer._peer = await FakePeer.StartAsync(certificates, "issuer", services => services.AddSingleton(issuer), app =>
        {
            app.MapGrpcService<Keys>();
            app.MapGrpcService<Controllers>();
        });
        return issuer;
    }

    /// <summary>A snapshot as an Issuer with these keys makes it.</summary>
    public static TransparencySnapshot Sign(SigningKey signer, DateTimeOffset at, params VerificationKey[] keys)
    {
        var contract = RotationContract.Of(new VerificationKeySet(keys), [keys[0].KeyId], 300, at);
        var made = KeyTransparencySnapshot.Create(contract, signer, at);
        return new TransparencySnapshot
        {
            SnapshotId = made.Id,
            PayloadJson = ByteString.CopyFrom(made.SignedPayload()),
            SnapshotHashB64U = made.Hash,
            SignerKid = made.SignerKid.ToString(),
            SignatureB64U = made.Signature,
        };
    }

    public ValueTask DisposeAsync() => _peer.DisposeAsync();

    private static T Answered<T>(Func<T> answer)
    {
        try
        {
            return answer();
        }
        catch (Refusal refusal)
        {
            throw RefusalStatus.ToRpcException(refusal);
        }
    }

    private sealed class Keys(FakeIssuer issuer) : KeyService.KeyServiceBase
    {
        public override async Task<GetKeySetResponse> GetKeySet(GetKeySetRequest request, ServerCallContext context)
        {
            Interlocked.Increment(ref issuer._keyReads);
            return await issuer.Real.GetKeySetAsync(request);
        }

        public override Task<GetTransparencySnapshotResponse> GetTransparencySnapshot(GetTransparencySnapshotRequest request, ServerCallContext context) =>
            Task.FromResult(new GetTransparencySnapshotResponse { Snapshot = Answered(issuer.Transparency) });
    }

    private sealed class Controllers(FakeIssuer issuer) : ControllerService.ControllerServiceBase
    {
        public override Task<GetControlChainResponse> GetControlChain(GetControlChainRequest request, ServerCallContext context) =>
            Task.FromResult(Answered(() => issuer.Chain(request)));
    }
}
