using System.Security.Cryptography;
using ClawBureau.Tokens;

namespace ClawBureau.Ledger.Tests;

/// <summary>Acts as an Issuer would queue them.</summary>
internal static class Acts
{
    public static readonly KeyId Kid = KeyId.Parse("fe2b99fd9afaa999");

    public static KeyAct Key(KeyState state = KeyState.Active, KeyId? kid = null, bool foreign = false) => new()
    {
        Caller = "service:issuer",
        Correlation = Correlation.None,
        Keys = [new KeyEntry { KeyId = kid ?? Kid, PublicKey = new byte[32], State = state, IsForeign = foreign }],
    };

    public static MintAct Mint(
        string subject = "did:key:zAgent",
        string? controller = null,
        string? mission = null,
        IReadOnlyList<GroupKey>? groups = null,
        long? issuedAt = null,
        string? jti = null,
        string? idempotencyKey = null,
        string request = "request")
    {
        long iat = issuedAt ?? DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        var claims = new TokenClaims
        {
            Sub = subject,
            Audience = Audience.Of("clawproxy.example"),
            Scope = ["clawproxy:call"],
            IssuedAt = iat,
            ExpiresAt = iat + 600,
            ControllerDid = controller is null ? null : Did.Parse(controller),
            MissionId = mission,
            Jti = jti ?? Guid.NewGuid().ToString(),
            Nonce = Guid.NewGuid().ToString(),
            Lane = TokenLane.Legacy,
        };
        return new MintAct
        {
            Caller = "admin:test",
            Correlation = new Correlation(MissionId: mission, RunId: "run-1", TraceId: "trc_1", CorrelationId: "cor-1"),
            TokenHash = TokenHash.Of(claims.Jti),
            Claims = claims,
            KeyId = Kid,
            PolicyTier = "default",
            PolicyVersion = "1",
            Groups = groups ?? [GroupKey.Of(RevocationKind.Subject, "", subject), GroupKey.Of(RevocationKind.Everything, "", "")],
            IdempotencyKey = idempotencyKey,
            RequestHash = idempotencyKey is null ? null : SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(request)),
            SignedPayload = idempotencyKey is null ? null : claims.ToPayload(),
        };
    }

    /// <summary>The token of this mint as its holder's credential.</summary>
    public static ActingToken Token(MintAct minted) => new(minted.TokenHash, minted.Claims.Jti, minted.Claims.IssuedAt, minted.KeyId, minted.Groups);

    public static RevokeTokenAct Revoke(TokenHash? hash = null, string? jti = null) => new()
    {
        Caller = "admin:test",
        Correlation = Correlation.None,
        TokenHash = hash,
        Jti = jti,
        Reason = "test",
        KeepUntil = DateTimeOffset.UtcNow.AddDays(30),
    };

    public static BlockGroupAct Block(GroupKey group) => new() { Caller = "admin:test", Correlation = Correlation.None, Group = group };

    public static LiftBlockAct Lift(GroupKey group) => new() { Caller = "admin:test", Correlation = Correlation.None, Group = group };

    public static ControlAct Controller(string did, bool frozen, params Seen[] seen) => new()
    {
        What = frozen ? EventKind.TransferRequested : EventKind.TransferCancelled,
        Caller = "admin:test",
        Correlation = Correlation.None,
        About = did,
        Facts = new Dictionary<string, object?> { ["controller_did"] = did, ["frozen"] = frozen },
        Seen = seen,
        Controllers =
        [
            new Model.Controller
            {
                ControllerDid = did,
                OwnerDid = "did:key:zOwner",
                Active = true,
                Frozen = frozen,
                PolicyHash = new string('a', 43),
                ChangedAt = DateTime.UtcNow,
                RegisteredAt = DateTime.UtcNow,
                LastChallengeId = "c0",
                AllowedSensitiveScopes = ["control:token:revoke"],
                PolicyUpdatedAt = DateTime.UtcNow,
                Consented = false,
            },
        ],
    };
}
