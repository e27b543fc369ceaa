using ClawBureau.Protos.Feed.V1;
using Grpc.Core;

namespace ClawBureau.Introspector;

/// <summary>
/// The RPCs of FeedService as they are generated, but for the answers of WatchRevocations, which are encoded already. The framework finds
/// what serves an RPC among the members declared here, and does not start where one is missing.
/// </summary>
[BindServiceMethod(typeof(FeedRpcs), nameof(BindService))]
public abstract class FeedRpcs
{
    public abstract Task WatchRevocations(IAsyncStreamReader<WatchRevocationsRequest> requestStream, IServerStreamWriter<WatchFrame> responseStream, ServerCallContext context);

    public abstract Task GetSnapshot(GetSnapshotRequest request, IServerStreamWriter<GetSnapshotResponse> responseStream, ServerCallContext context);

    public abstract Task<ListRevocationsResponse> ListRevocations(ListRevocationsRequest request, ServerCallContext context);

    public abstract Task<ReadIndexResponse> ReadIndex(ReadIndexRequest request, ServerCallContext context);

    public abstract Task<AckAppliedResponse> AckApplied(AckAppliedRequest request, ServerCallContext context);

    /// <summary>Found by the framework, by the attribute.</summary>
    public static void BindService(ServiceBinderBase binder, FeedRpcs? service) => FeedService.BindService(new Binder(binder), null);

    private sealed class Binder(ServiceBinderBase inner) : ServiceBinderBase
    {
        public override void AddMethod<TRequest, TResponse>(Method<TRequest, TResponse> method, UnaryServerMethod<TRequest, TResponse>? handler) => inner.AddMethod(method, handler);

        public override void AddMethod<TRequest, TResponse>(Method<TRequest, TResponse> method, ServerStreamingServerMethod<TRequest, TResponse>? handler) => inner.AddMethod(method, handler);

        public override void AddMethod<TRequest, TResponse>(Method<TRequest, TResponse> method, DuplexStreamingServerMethod<TRequest, TResponse>? handler) => inner.AddMethod(
            new Method<TRequest, WatchFrame>(method.Type, method.ServiceName, method.Name, method.RequestMarshaller, WatchFrame.Marshaller), (DuplexStreamingServerMethod<TRequest, WatchFrame>?)null);
    }
}
