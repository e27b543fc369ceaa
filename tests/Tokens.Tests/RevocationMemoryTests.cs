using System.Buffers.Binary;

namespace ClawBureau.Tokens.Tests;

[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;

/// <summary>Measures the heap, so nothing else may run meanwhile.</summary>
[Collection(nameof(Alone))]
public sealed class RevocationMemoryTests
{
    [Fact]
    public void A_million_revocations_take_less_than_twice_what_they_say()
    {
        const int count = 1_000_000;
        const int said = 32 + 16 + 4 + 8 + 8 + 8;      // hash, jti, end, two numbers, time of the act
        var at = TestTokens.Now;
        byte[] hash = new byte[32], jti = new byte[16];
        long before = GC.GetTotalMemory(forceFullCollection: true);
        var set = new RevocationSet();
        for (int i = 0; i < count; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(hash.AsSpan(28), i);
            BinaryPrimitives.WriteInt32LittleEndian(jti, i);
            set.Apply(new RevocationEntry
            {
                RevocationSeq = new(i + 1),
                Seq = new(i + 1),
                RevokedAt = at,
                ExpiresAt = at,
                TokenHash = TokenHash.FromBytes(hash),
                Jti = new Guid(jti).ToString(),
            });
        }
        long taken = GC.GetTotalMemory(forceFullCollection: true) - before;
        Assert.InRange(taken / count, said, 2 * said);
        Assert.InRange(set.MemoryBytes, taken * 0.9, taken * 1.1);
        Assert.Equal(count, set.Count);
    }
}
