namespace Grpc.Core.Interceptors;

/// <summary>Puts interceptors in front of an invoker. Of several, the first is asked first.</summary>
public static class CallInvokerExtensions
{
    public static CallInvoker Intercept(this CallInvoker invoker, Interceptor interceptor) =>
        new InterceptingCallInvoker(invoker, interceptor);

    public static CallInvoker Intercept(this CallInvoker invoker, params Interceptor[] interceptors)
    {
        ArgumentNullException.ThrowIfNull(invoker);
        ArgumentNullException.ThrowIfNull(interceptors);
        for (var last = interceptors.Length - 1; last >= 0; last--)
        {
            invoker = invoker.Intercept(interceptors[last]);
        }

        return invoker;
    }

    /// <summary>Sends each call with the headers that <paramref name="interceptor"/> makes of the call's own.</summary>
    public static CallInvoker Intercept(this CallInvoker invoker, Func<Metadata, Metadata> interceptor)
    {
        ArgumentNullException.ThrowIfNull(interceptor);
        return invoker.Intercept(new CallRewriter(
            (host, options) => (host, options.WithHeaders(interceptor(options.Headers ?? [])))));
    }
}
