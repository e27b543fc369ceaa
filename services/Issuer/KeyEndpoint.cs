using System.Globalization;
using ClawBureau.Hosting.Calls;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace ClawBureau.Issuer;

/// <summary>clawbureau.keys.v1 on the wire. The ledger says which keys there are and what they may do; every replica answers the same.</summary>
public sealed class KeyEndpoint(LedgerReads ledger, KeyKeeper keeper, KeyTransparency transparency, AlgorithmNames algorithms, IssuerOptions options) : KeyService.KeyServiceBase
{
    private const int DefaultPage = 20, MostPage = 100;
    private static readonly TimeSpan MostOverlap = TimeSpan.FromDays(3650);

    public override async Task<GetKeySetResponse> GetKeySet(GetKeySetRequest request, ServerCallContext context)
    {
        var reading = await ledger.ReadAsync(reader => reader.ReadKeyStatesAsync(context.CancellationToken));
        return new GetKeySetResponse { KeySet = KeyMapping.ToKeySet(reading, options, algorithms, request.IncludeRetired) };
    }

    public override async Task<RotateKeyResponse> RotateKey(RotateKeyRequest request, ServerCallContext context)
    {
        var overlap = request.Overlap?.ToTimeSpan();
        if (overlap < TimeSpan.Zero || overlap > MostOverlap)
            throw Refusal.OfField(Reason.InvalidRequest, "overlap", $"overlap must be 0 to {MostOverlap.TotalDays} days");
        var change = await keeper.RotateAsync(new RotationOrder(
            overlap,
            request.Emergency,
            request.ExpectedActiveKid.Length == 0 ? null : KeyMapping.ToKeyId(request.ExpectedActiveKid),
            Mapping.ToReasonText(request.Reason),
            ActingCaller.Of(context.GetCaller()),
            Mapping.ToCorrelation(request.Correlation, context.GetCorrelation(), "", "")), context.CancellationToken);
        return new RotateKeyResponse
        {
            KeySet = KeyMapping.ToKeySet(change.After, options, algorithms, includeRetired: false),
            Kid = change.KeyId.ToString(),
            ActivatesAt = Timestamp.FromDateTimeOffset(change.At),
            Revision = Mapping.ToRevision(change.After.Head),
        };
    }

    public override async Task<RevokeKeyResponse> RevokeKey(RevokeKeyRequest request, ServerCallContext context)
    {
        var change = await keeper.RevokeAsync(
            KeyMapping.ToKeyId(request.Kid),
            request.AllowLast,
            Mapping.ToReasonText(request.Reason),
            ActingCaller.Of(context.GetCaller()),
            Mapping.ToCorrelation(request.Correlation, context.GetCorrelation(), "", ""),
            context.CancellationToken);
        var response = new RevokeKeyResponse { AlreadyRevoked = change.WasSo, Revision = Mapping.ToRevision(change.After.Head) };
        // Without an active key there is no contract, and no key set to tell it by.
        if (change.After.States.Active is not null) response.KeySet = KeyMapping.ToKeySet(change.After, options, algorithms, includeRetired: false);
        return response;
    }

    public override async Task<GetTransparencySnapshotResponse> GetTransparencySnapshot(GetTransparencySnapshotRequest request, ServerCallContext context)
    {
        if (request.Create) throw Refusal.OfField(Reason.InvalidRequest, "create", "CreateTransparencySnapshot makes a snapshot");
        var snapshot = request.SnapshotId.Length == 0
            ? await transparency.LatestAsync(context.CancellationToken)
            : await transparency.FindAsync(request.SnapshotId, context.CancellationToken);
        return new GetTransparencySnapshotResponse { Snapshot = KeyMapping.ToSnapshot(snapshot) };
    }

    public override async Task<CreateTransparencySnapshotResponse> CreateTransparencySnapshot(CreateTransparencySnapshotRequest request, ServerCallContext context) =>
        new() { Snapshot = KeyMapping.ToSnapshot(await transparency.CreateAsync(context.CancellationToken)) };

    public override async Task<ListTransparencySnapshotsResponse> ListTransparencySnapshots(ListTransparencySnapshotsRequest request, ServerCallContext context)
    {
        int size = request.PageSize == 0 ? DefaultPage : request.PageSize;
        if (size is < 1 or > MostPage) throw Refusal.OfField(Reason.InvalidRequest, "page_size", $"page_size must be 1 to {MostPage}");
        long before = long.MaxValue;
        // The number behind which the page before ended: nothing is ever put in front of it.
        if (request.PageToken.Length > 0 && (!long.TryParse(request.PageToken, NumberStyles.None, CultureInfo.InvariantCulture, out before) || before < 2))
            throw new Refusal(Reason.PageTokenInvalid);
        var rows = await transparency.ListAsync(before, size, context.CancellationToken);
        return new ListTransparencySnapshotsResponse
        {
            Snapshots = { rows.Select(KeyMapping.ToSnapshot) },
            NextPageToken = rows.Count == size && rows[^1].Number > 1 ? rows[^1].Number.ToString(CultureInfo.InvariantCulture) : "",
        };
    }
}
