namespace Grpc.Core;

/// <summary>Credentials that each call carries in its headers. They need a secure channel.</summary>
public abstract class CallCredentials
{
    /// <summary>All of <paramref name="credentials"/> together, in order; at least two.</summary>
    public static CallCredentials Compose(params CallCredentials[] credentials) =>
        new CompositeCredentials(credentials);

    /// <summary>Credentials that <paramref name="interceptor"/> adds when a call starts.</summary>
    public static CallCredentials FromInterceptor(AsyncAuthInterceptor interceptor) =>
        new InterceptorCredentials(interceptor);

    /// <summary>Shows these credentials to the gRPC stack; not for users.</summary>
    public abstract void InternalPopulateConfiguration(CallCredentialsConfiguratorBase configurator, object? state);

    private sealed class CompositeCredentials : CallCredentials
    {
        private readonly CallCredentials[] parts;

        public CompositeCredentials(CallCredentials[] parts)
        {
            ArgumentNullException.ThrowIfNull(parts);
            if (parts.Length < 2)
            {
                throw new ArgumentException("Composite credentials need two or more parts.", nameof(parts));
            }

            this.parts = [.. parts];
        }

        public override void InternalPopulateConfiguration(CallCredentialsConfiguratorBase configurator, object? state) =>
            configurator.SetCompositeCredentials(state, parts);
    }

    private sealed class InterceptorCredentials : CallCredentials
    {
        private readonly AsyncAuthInterceptor interceptor;

        public InterceptorCredentials(AsyncAuthInterceptor interceptor)
        {
            ArgumentNullException.ThrowIfNull(interceptor);
            this.interceptor = interceptor;
        }

        public override void InternalPopulateConfiguration(CallCredentialsConfiguratorBase configurator, object? state) =>
            configurator.SetAsyncAuthInterceptorCredentials(state, interceptor);
    }
}
