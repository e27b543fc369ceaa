using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Edge.Tests;

/// <summary>A Verifier that answers what the test says.</summary>
public sealed class FakeVerifier : VerificationService.VerificationServiceBase, IAsyncDisposable
{
    /// <summary>When it says that it verified: 2027-01-15T08:00:00.250Z.</summary>
    public static readonly Timestamp At = new() { Seconds = 1800000000, Nanos = 250_000_000 };

    private FakePeer _peer = null!;

    /// <summary>From the request to the answer; may throw a <see cref="Refusal"/>.</summary>
    public Func<VerifyTokenControlRequest, VerifyTokenControlResponse> Answer { get; set; } = _ => throw new Refusal(Reason.NotReady);

    /// <summary>The same for control chains.</summary>
    public Func<VerifyControlChainRequest, VerifyControlChainResponse> AnswerChain { get; set; } = _ => throw new Refusal(Reason.NotReady);

    public static Verdict Valid(string sentence) => new() { Status = VerificationStatus.Valid, Sentence = sentence, VerifiedAt = At };

    public static Verdict Invalid(Wire.Reason reason, string sentence, string field = "") =>
        new() { Status = VerificationStatus.Invalid, Reason = reason, Sentence = sentence, Field = field, VerifiedAt = At };

    /// <summary>What came with the last call.</summary>
    public Metadata Headers { get; private set; } = [];

    public Uri Address => _peer.Address;

    public static async Task<FakeVerifier> StartAsync(string certificates)
    {
        var verifier = new FakeVerifier();
        verifier._peer = await FakePeer.StartAsync(verifier, certificates, "verifier");
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

    public async ValueTask DisposeAsync() => await _peer.DisposeAsync();
}
