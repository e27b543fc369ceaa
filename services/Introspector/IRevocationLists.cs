using ClawBureau.Protos.Feed.V1;
using Grpc.Core;

namespace ClawBureau.Introspector;

/// <summary>The pages of the feed, for people and for the HTTP face: from the ledger's own index, or from where that is.</summary>
public interface IRevocationLists
{
    /// <exception cref="Tokens.Refusal">As feed.proto lists them.</exception>
    Task<ListRevocationsResponse> ListAsync(ListRevocationsRequest request, ServerCallContext context);
}
