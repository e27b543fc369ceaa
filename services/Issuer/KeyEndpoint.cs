using ClawBureau.Ledger.Reading;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Npgsql;
using KeyState = ClawBureau.Tokens.KeyState;
using Wire = ClawBureau.Protos.Keys.V1;

namespace ClawBureau.Issuer;

/// <summary>clawbureau.keys.v1 on the wire. The ledger says which keys there are; this process adds which of them it can sign with.</summary>
public sealed class KeyEndpoint(LedgerReads ledger, IssuerOptions options, TimeProvider time) : KeyService.KeyServiceBase
{
    private static readonly Duration JwksMaxAge = Duration.FromTimeSpan(TimeSpan.FromMinutes(5));

    public override async Task<GetKeySetResponse> GetKeySet(GetKeySetRequest request, ServerCallContext context)
    {
        var (epoch, rows) = await ReadAsync(context.CancellationToken);
        var known = InOrder(rows);
        var active = ActiveOf(known) ?? throw new Refusal(Reason.SigningNotConfigured);
        var keySet = new KeySet
        {
            Keys = { known.Where(row => request.IncludeRetired || row.State != KeyState.Retired).Select(ToKey) },
            ActiveKid = active.KeyId.ToString(),
            ContractVersion = RotationContract.Version,
            IssuerDid = options.IssuerDid.ToString(),
            Overlap = Duration.FromTimeSpan(options.KeyOverlap),
            OverlapWindowOpen = options.KeyOverlap > TimeSpan.Zero && known.Count(IsAccepted) > 1,
            JwsAlg = TokenAlgorithm.EdDsa.ToHeader(),
            JwksMaxAge = JwksMaxAge,
            Seq = rows.Max(row => row.Seq).Value,
            Epoch = epoch.ToString(),
        };
        return new GetKeySetResponse { KeySet = keySet };
    }

    private async Task<(Guid Epoch, IReadOnlyList<KeyRow> Rows)> ReadAsync(CancellationToken cancellationToken)
    {
        try
        {
            var head = await ledger.Reader.PollAsync(new RevocationSeq(long.MaxValue), cancellationToken);
            return (head.Revision.Epoch, await ledger.Reader.ReadKeysAsync(cancellationToken));
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException)
        {
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
    }

    /// <summary>The order of the JWKS: what this issuer signs with, as configured, then every other key as the ledger learnt of it.</summary>
    private List<KeyRow> InOrder(IReadOnlyList<KeyRow> rows)
    {
        var configured = options.Keys.VerificationKeys.Keys.Select(key => key.KeyId).ToList();
        return [.. rows.OrderBy(row => configured.IndexOf(row.KeyId) is var place and >= 0 ? place : configured.Count).ThenBy(row => row.Seq)];
    }

    /// <summary>Our own signing key while the ledger has it as active; else the one that became active last.</summary>
    private KeyRow? ActiveOf(List<KeyRow> known)
    {
        var active = known.Where(row => row.State == KeyState.Active).ToList();
        return active.Find(row => row.KeyId == options.Keys.Active.KeyId) ?? active.MaxBy(row => row.Seq);
    }

    private bool IsAccepted(KeyRow row) => row.State != KeyState.Retired && !(row.NotAfter < time.GetUtcNow().ToUnixTimeSeconds());

    private Key ToKey(KeyRow row)
    {
        var key = new Key
        {
            Kid = row.KeyId.ToString(),
            PublicKey = ByteString.CopyFrom(row.PublicKey),
            State = row.State switch
            {
                KeyState.Next => Wire.KeyState.Next,
                KeyState.Active => Wire.KeyState.Active,
                KeyState.VerifyOnly => Wire.KeyState.VerifyOnly,
                _ => Wire.KeyState.Retired,
            },
            Foreign = row.IsForeign,
            CanSign = options.Keys.FindSigningKey(row.KeyId) is not null,
            Seq = row.Seq.Value,
        };
        if (row.NotAfter is { } end) key.NotAfter = new Timestamp { Seconds = end };
        return key;
    }
}
