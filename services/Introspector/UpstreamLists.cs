using ClawBureau.Hosting.Calls;
using ClawBureau.Protos.Feed.V1;
using Grpc.Core;

namespace ClawBureau.Introspector;

/// <summary>
/// Pages of a relay: the index is the ledger's, so upstream is asked, which judges the caller by the credential he showed here. Who comes
/// with a certificate alone is asked for under the relay's own, and so is not told who revoked.
/// </summary>
public sealed class UpstreamLists(UpstreamPeers peers) : IRevocationLists
{
    private static readonly string[] Credentials = ["authorization", "x-cst", "x-scoped-token"];

    private readonly FeedService.FeedServiceClient _feed = new(peers.Introspector);

    public async Task<ListRevocationsResponse> ListAsync(ListRevocationsRequest request, ServerCallContext context)
    {
        var headers = new Metadata();
        context.GetCorrelation().AddTo(headers);
        foreach (var header in context.RequestHeaders)
            if (Credentials.Contains(header.Key)) headers.Add(header);
        return await _feed.ListRevocationsAsync(request, headers, deadline: context.Deadline == DateTime.MaxValue ? null : context.Deadline, cancellationToken: context.CancellationToken);
    }
}
