using ClawBureau.Client.Feed;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Tokens;
using Grpc.Core;
using Grpc.Core.Interceptors;

namespace ClawBureau.Client.Calls;

/// <summary>
/// Admits gRPC calls by their scoped token, in metadata <c>x-cst</c>, <c>x-scoped-token</c> or <c>authorization</c>. Endpoints read what
/// was found with <see cref="VerifiedCalls.GetVerification"/>. A call that is still under way is ended when its token is revoked.
/// </summary>
/// <param name="requirements">What each method asks, by its full name; null: the method is open to anybody.</param>
public sealed class ScopedTokenServerInterceptor(TokenVerifier verifier, TokenWatches watches, Func<string, TokenRequirements?> requirements) : Interceptor
{
    public override async Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
        TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
    {
        using var watch = await AdmitAsync(context);
        return await continuation(request, context);
    }

    public override async Task<TResponse> ClientStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, ServerCallContext context, ClientStreamingServerMethod<TRequest, TResponse> continuation)
    {
        using var watch = await AdmitAsync(context);
        return await continuation(requestStream, context);
    }

    public override async Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, ServerStreamingServerMethod<TRequest, TResponse> continuation)
    {
        using var watch = await AdmitAsync(context);
        await continuation(request, responseStream, context);
    }

    public override async Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, DuplexStreamingServerMethod<TRequest, TResponse> continuation)
    {
        using var watch = await AdmitAsync(context);
        await continuation(requestStream, responseStream, context);
    }

    private async Task<IDisposable?> AdmitAsync(ServerCallContext context)
    {
        if (requirements(context.Method) is not { } asked) return null;
        try
        {
            var token = ScopedTokenHeaders.Read(name => context.RequestHeaders.Where(header => header.Key == name).Select(header => header.Value)) ?? throw new Refusal(Reason.TokenRequired);
            var verification = await verifier.VerifyAsync(token, asked, Freshness.Default, context.CancellationToken);
            verification.Require();
            context.UserState[typeof(Verification)] = verification;
            // The request behind the call: ending it is all that a server can do from outside of the endpoint.
            var http = context.GetHttpContext();
            return watches.Add(verification.TokenHash, verification.Claims!, verification.KeyId, _ => http.Abort());
        }
        catch (Refusal refusal)
        {
            throw RefusalStatus.ToRpcException(refusal);
        }
    }
}

/// <summary>What the interceptor found out, for endpoints.</summary>
public static class VerifiedCalls
{
    /// <exception cref="InvalidOperationException">The method is open to anybody, or the interceptor is not there.</exception>
    public static Verification GetVerification(this ServerCallContext context) => context.UserState.TryGetValue(typeof(Verification), out var found)
        ? (Verification)found
        : throw new InvalidOperationException("ScopedTokenServerInterceptor did not admit this call.");
}
