using ClawBureau.Tokens;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Google.Rpc;
using Grpc.Core;

namespace ClawBureau.Hosting.Refusals;

/// <summary>
/// The one pair that takes a refusal over the wire: google.rpc.Status in <c>grpc-status-details-bin</c> with an ErrorInfo
/// (reason, domain, metadata) and, where waiting helps, a RetryInfo. Google.Api.CommonProtos 2.0.0 calls ErrorInfo's first field,
/// reason, by its older name Type.
/// </summary>
public static class RefusalStatus
{
    public const string Domain = "clawbureau";

    private const string DetailsTrailer = "grpc-status-details-bin";

    // In ErrorInfo's metadata beside the refusal's own: what reasons.proto says, for clients that do not have it.
    private const string RemedyKey = "remedy";

    private static readonly Duration RetryAfter = Duration.FromTimeSpan(TimeSpan.FromMilliseconds(200));

    public static RpcException ToRpcException(Refusal refusal)
    {
        if (!ReasonCatalog.TryFind(refusal.Reason, out var entry)) entry = ReasonCatalog.Of(Reason.Internal);
        var sentence = refusal.Sentence ?? entry.Sentence;
        var info = new ErrorInfo { Type = entry.Code, Domain = Domain, Metadata = { [RemedyKey] = entry.Remedy } };
        foreach (var (key, value) in refusal.Metadata)
        {
            info.Metadata[key] = value;
        }

        var status = new Google.Rpc.Status { Code = (int)entry.GrpcCode, Message = sentence, Details = { Any.Pack(info) } };
        if (entry.GrpcCode is StatusCode.Unavailable or StatusCode.ResourceExhausted)
            status.Details.Add(Any.Pack(new RetryInfo { RetryDelay = RetryAfter }));
        return new RpcException(
            new Grpc.Core.Status(entry.GrpcCode, sentence),
            new Metadata { { DetailsTrailer, status.ToByteArray() } });
    }

    /// <summary>
    /// What a peer's failure means here. One without our details is PEER_UNAVAILABLE when the peer could not be reached or did not
    /// answer in time, RPC_NOT_AVAILABLE when it lacks the RPC, and INTERNAL otherwise: the peer broke the protocol.
    /// </summary>
    public static Refusal ToRefusal(RpcException exception)
    {
        if (InfoOf(exception) is not { } info) return WithoutDetails(exception);
        var metadata = new Dictionary<string, string>(info.Metadata);
        metadata.Remove(RemedyKey);
        return ReasonCatalog.TryFind(info.Type, out var entry)
            ? new Refusal(entry.Reason, exception.Status.Detail, metadata, exception)
            : new Refusal(Reason.Internal, $"A peer refused with {info.Type}, which this version does not know", metadata, exception);
    }

    private static Refusal WithoutDetails(RpcException exception) => exception.StatusCode switch
    {
        // The client reports a failed handshake as INTERNAL; what led to it says that there was no connection.
        _ when exception.Status.DebugException is HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError } =>
            new Refusal(Reason.PeerUnavailable, "TLS to a service that this answer depends on failed: check its certificate, ours and the CA file", inner: exception),
        _ when exception.Status.DebugException is HttpRequestException => new Refusal(Reason.PeerUnavailable, inner: exception),
        StatusCode.Unavailable => new Refusal(Reason.PeerUnavailable, inner: exception),
        StatusCode.DeadlineExceeded or StatusCode.Cancelled =>
            new Refusal(Reason.PeerUnavailable, "A service that this answer depends on did not answer in time; whether it acted is not known", inner: exception),
        StatusCode.Unimplemented => new Refusal(Reason.RpcNotAvailable, inner: exception),
        _ => new Refusal(Reason.Internal, $"A peer failed with {exception.StatusCode}", inner: exception),
    };

    private static ErrorInfo? InfoOf(RpcException exception)
    {
        if (exception.Trailers.GetValueBytes(DetailsTrailer) is not { } details) return null;
        try
        {
            foreach (var detail in Google.Rpc.Status.Parser.ParseFrom(details).Details)
            {
                if (detail.TryUnpack<ErrorInfo>(out var info) && info.Domain == Domain) return info;
            }
        }
        catch (InvalidProtocolBufferException)
        {
            // Not ours then: judged by its status alone.
        }
        return null;
    }
}
