namespace Grpc.Core;

/// <summary>Carries the context of a served call to calls made on its behalf; only the gRPC stack makes one.</summary>
public abstract class ContextPropagationToken
{
    internal ContextPropagationToken()
    {
    }
}
