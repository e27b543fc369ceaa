using ClawBureau.Tokens;

namespace ClawBureau.Testing;

/// <summary>Keys by the contract's key vectors: the seed of vector o is the bytes o, o + 1, … o + 31. Issuers of tests sign with o = 11.</summary>
public static class TestKeys
{
    public static byte[] SeedOf(int offset) => [.. Enumerable.Range(0, 32).Select(i => (byte)(i + offset))];

    public static SigningKey KeyOf(int offset) => new(SeedOf(offset));

    /// <summary>What a canonical token says, for ten minutes; each has a jti of its own.</summary>
    /// <param name="now">Epoch seconds.</param>
    public static TokenClaims Canonical(long now) => new()
    {
        Sub = "did:key:zAgent",
        Audience = Audience.Of("clawproxy.example"),
        Scope = ["clawproxy:call", "control:token:revoke"],
        IssuedAt = now,
        ExpiresAt = now + 600,
        OwnerDid = Did.Parse("did:key:zOwner"),
        ControllerDid = Did.Parse("did:key:zController"),
        AgentDid = Did.Parse("did:key:zAgent"),
        MissionId = "agent:main",
        Lane = TokenLane.Canonical,
        Jti = Guid.NewGuid().ToString(),
        Nonce = Guid.NewGuid().ToString(),
    };
}
