using ClawBureau.Hosting.Callers;
using Grpc.Core;

namespace ClawBureau.Hosting.Calls;

/// <summary>What the suite knows of a call, for endpoints.</summary>
public static class CallContextExtensions
{
    /// <summary>Who calls; the caller table has admitted him.</summary>
    /// <exception cref="InvalidOperationException">The call did not come through a process of this library.</exception>
    public static Caller GetCaller(this ServerCallContext context) => Of(context).Caller ?? throw NotOurs();

    /// <exception cref="InvalidOperationException">The call did not come through a process of this library.</exception>
    public static CallCorrelation GetCorrelation(this ServerCallContext context) => Of(context).Correlation ?? throw NotOurs();

    /// <summary>
    /// Fires when the client leaves, its deadline or the default one passes, or the stream has to end. Inside an endpoint
    /// <see cref="ServerCallContext.CancellationToken"/> is the same token; this name says so.
    /// </summary>
    /// <exception cref="InvalidOperationException">The call did not come through a process of this library.</exception>
    public static CancellationToken GetDeadlineToken(this ServerCallContext context) => Of(context).CancellationToken;

    private static CallContext Of(ServerCallContext context) => context as CallContext ?? throw NotOurs();

    private static InvalidOperationException NotOurs() => new("Endpoints run in processes made by ServiceProcess.CreateBuilder.");
}
