using ClawBureau.Protos.Introspection.V1;
using Grpc.Core;

namespace ClawBureau.Introspector;

/// <summary>
/// The RPCs of IntrospectionService as they are generated, but for answers about tokens, of which parts are encoded already. The framework
/// finds what serves an RPC among the members declared here, and does not start where one is missing.
/// </summary>
[BindServiceMethod(typeof(IntrospectionRpcs), nameof(BindService))]
public abstract class IntrospectionRpcs
{
    /// <returns>An IntrospectTokenResponse.</returns>
    public abstract Task<EncodedResponse> IntrospectToken(IntrospectTokenRequest request, ServerCallContext context);

    /// <returns>A BatchIntrospectTokensResponse.</returns>
    public abstract Task<EncodedResponse> BatchIntrospectTokens(BatchIntrospectTokensRequest request, ServerCallContext context);

    public abstract Task<GetTransitionMatrixResponse> GetTransitionMatrix(GetTransitionMatrixRequest request, ServerCallContext context);

    /// <summary>Found by the framework, by the attribute.</summary>
    public static void BindService(ServiceBinderBase binder, IntrospectionRpcs? service) => IntrospectionService.BindService(new Binder(binder), null);

    private sealed class Binder(ServiceBinderBase inner) : ServiceBinderBase
    {
        public override void AddMethod<TRequest, TResponse>(Method<TRequest, TResponse> method, UnaryServerMethod<TRequest, TResponse>? handler)
        {
            if (method.Name == nameof(GetTransitionMatrix)) inner.AddMethod(method, handler);
            else inner.AddMethod(new Method<TRequest, EncodedResponse>(method.Type, method.ServiceName, method.Name, method.RequestMarshaller, EncodedResponse.Marshaller), (UnaryServerMethod<TRequest, EncodedResponse>?)null);
        }
    }
}
