using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace ClawBureau.Tokens.Tests;

public sealed class RevocationSetTests
{
    private static readonly DateTimeOffset Now = TestTokens.Now;
    private static readonly KeyId Kid = KeyId.Parse("fe2b99fd9afaa999");
    private readonly RevocationSet _set = new();

    [Fact]
    public void A_token_is_dead_by_its_hash_and_by_its_jti_whatever_else_it_says()
    {
        var claims = TestTokens.Claims();
        var hash = TokenHash.Of("token");
        _set.Apply(Token(1, hash, claims.Jti));
        Assert.Equal(new Death(Now, null), _set.Find(hash, claims with { Jti = null }, Kid));
        Assert.Equal(new Death(Now, null), _set.Find(TokenHash.Of("spelled otherwise"), claims, Kid));
        Assert.Null(_set.Find(TokenHash.Of("another"), claims with { Jti = Guid.NewGuid().ToString() }, Kid));
        Assert.Equal(1, _set.Count);
    }

    [Theory]
    [InlineData("any text at all")]
    [InlineData("")]
    [InlineData("0B2C5B1E-6D1A-4F0E-9D55-6A5C3A1F0001")]
    [InlineData("0b2c5b1e6d1a4f0e9d556a5c3a1f0001")]
    [InlineData("+b2c5b1e-6d1a-4f0e-9d55-6a5c3a1f0001")]
    public void A_jti_in_another_spelling_is_another_jti(string jti)
    {
        _set.Apply(Token(1, jti: jti));
        Assert.NotNull(_set.Find(TokenHash.Of("x"), TestTokens.Claims() with { Jti = jti }, Kid));
        Assert.Null(_set.Find(TokenHash.Of("x"), TestTokens.Claims(), Kid));
        Assert.Equal(jti, Assert.Single(_set.ReadAll()).Jti);
    }

    [Fact]
    public void A_revocation_is_kept_until_24_hours_after_the_token_expired_and_no_longer()
    {
        var claims = TestTokens.Claims();
        var hash = TokenHash.Of("token");
        _set.Apply(Token(1, hash, claims.Jti) with { ExpiresAt = Now });
        _set.Apply(Token(2, jti: "no UUID") with { ExpiresAt = Now });
        Assert.Equal(0, _set.DropExpired(Now.AddHours(24)));
        Assert.NotNull(_set.Find(hash, claims with { Jti = null }, Kid));
        Assert.NotNull(_set.Find(TokenHash.Of("another text"), claims, Kid));

        Assert.Equal(2, _set.DropExpired(Now.AddHours(24).AddSeconds(1)));
        Assert.Null(_set.Find(hash, claims, Kid));
        Assert.Null(_set.Find(hash, claims with { Jti = "no UUID" }, Kid));
        Assert.Equal(0, _set.Count);
    }

    [Fact]
    public void What_is_forgotten_takes_nothing_else_with_it()
    {
        for (int i = 1; i <= 5000; i++) _set.Apply(Token(i, TokenHash.Of($"{i}"), $"jti {i}") with { ExpiresAt = Now.AddSeconds(i % 2) });
        _set.Apply(Group(5001, RevocationKind.Subject, "did:key:zAgent") with { Cut = Now.ToUnixTimeSeconds() });
        long before = _set.MemoryBytes;
        Assert.Equal(2500, _set.DropExpired(Now.AddHours(24).AddSeconds(1)));
        Assert.Equal(2501, _set.Count);
        Assert.True(_set.MemoryBytes < before);
        for (int i = 1; i <= 5000; i++) Assert.Equal(i % 2 == 1, _set.Find(TokenHash.Of($"{i}"), TestTokens.Claims() with { Sub = "s" }, Kid) is not null);
        Assert.NotNull(_set.Find(TokenHash.Of("x"), TestTokens.Claims() with { Sub = "s", Jti = "jti 4999" }, Kid));
        Assert.Null(_set.Find(TokenHash.Of("x"), TestTokens.Claims() with { Sub = "s", Jti = "jti 4998" }, Kid));
        Assert.NotNull(_set.Find(TokenHash.Of("x"), TestTokens.Claims(), Kid));
    }

    [Fact]
    public void A_revocation_without_an_end_and_a_cut_are_kept_for_ever()
    {
        var claims = TestTokens.Claims();
        _set.Apply(Token(1, TokenHash.Of("token")));
        _set.Apply(Token(2, TokenHash.Of("far")) with { ExpiresAt = new DateTimeOffset(2500, 1, 1, 0, 0, 0, TimeSpan.Zero) });
        _set.Apply(Group(3, RevocationKind.Subject, claims.Sub) with { Cut = claims.IssuedAt });
        Assert.Equal(0, _set.DropExpired(DateTimeOffset.MaxValue.AddDays(-2)));
        Assert.NotNull(_set.Find(TokenHash.Of("token"), claims with { Sub = "another" }, Kid));
        Assert.NotNull(_set.Find(TokenHash.Of("far"), claims with { Sub = "another" }, Kid));
        Assert.Equal(RevocationKind.Subject, _set.Find(TokenHash.Of("x"), claims, Kid)?.Group);
        Assert.Null(_set.Find(TokenHash.Of("x"), claims with { IssuedAt = claims.IssuedAt + 1 }, Kid));
    }

    [Fact]
    public void Every_claim_that_a_block_can_name_makes_a_token_dead_as_such_and_in_its_owners_scope()
    {
        var claims = TestTokens.Claims() with
        {
            OwnerDid = Did.Parse("did:key:zOwner"),
            ControllerDid = Did.Parse("did:key:zController"),
            AgentDid = Did.Parse("did:key:zAgentOfIt"),
            Delegation = new Delegation { Id = "d-1", DelegatorDid = Did.Parse("did:key:zDelegator") },
        };
        var groups = TokenGroups.Of(claims, Kid);
        Assert.Equal(18, groups.Count);
        foreach (var group in groups)
        {
            var set = new RevocationSet();
            set.Apply(new RevocationEntry { RevocationSeq = new(1), Seq = new(1), RevokedAt = Now, Group = group, Blocked = true });
            Assert.Equal(new Death(Now, group.Kind), set.Find(TokenHash.Of("x"), claims, Kid));
            set.Apply(new RevocationEntry { RevocationSeq = new(2), Seq = new(2), RevokedAt = Now, Group = GroupKey.FromHash(group.Kind, group.Hash), Blocked = false, Cut = 1 });
            Assert.Null(set.Find(TokenHash.Of("x"), claims, Kid));
        }
        _set.Apply(Group(1, RevocationKind.Mission, claims.MissionId!, "did:key:zAnother") with { Blocked = true });
        Assert.Null(_set.Find(TokenHash.Of("x"), claims, Kid));
    }

    [Fact]
    public void In_whatever_order_and_how_often_entries_come_the_same_holds()
    {
        var random = new Random(5);
        var groups = Enumerable.Range(0, 40).Select(i => GroupKey.Of((RevocationKind)(2 + i % 9), "", $"{i / 2}")).ToArray();
        var entries = Enumerable.Range(1, 3000).Select(seq => random.Next(3) > 0
            ? Token(seq, random.Next(2) == 0 ? TokenHash.Of($"{seq}") : null, $"jti {seq}") with { ExpiresAt = Now.AddSeconds(random.Next(1000)) }
            : new RevocationEntry { RevocationSeq = new(seq), Seq = new(seq * 2), RevokedAt = Now, Group = groups[random.Next(40)], Blocked = random.Next(2) == 0, Cut = seq }).ToArray();
        var expected = entries.Where(e => e.Group is null)
            .Concat(entries.Where(e => e.Group is not null).GroupBy(e => e.Group).Select(g => g.MaxBy(e => e.RevocationSeq)!))
            .OrderBy(e => e.RevocationSeq).ToArray();

        for (int round = 0; round < 10; round++)
        {
            var set = new RevocationSet();
            var shuffled = entries.Concat(entries.Take(500)).ToArray();
            random.Shuffle(shuffled);
            foreach (var entry in shuffled) set.Apply(entry);
            Assert.Equal(expected, set.ReadAll());
            Assert.Equal(expected.Length, set.Count);
            set.DropExpired(Now);               // copies without what the groups were before
            Assert.Equal(expected, set.ReadAll());
        }
    }

    [Fact]
    public void A_snapshot_replaces_everything_at_once()
    {
        _set.Apply(Token(1, TokenHash.Of("old")));
        _set.Replace([Token(7, TokenHash.Of("new"))]);
        Assert.Null(_set.Find(TokenHash.Of("old"), TestTokens.Claims(), Kid));
        Assert.NotNull(_set.Find(TokenHash.Of("new"), TestTokens.Claims(), Kid));
    }

    [Fact]
    public async Task A_reader_that_starts_after_an_entry_was_applied_sees_it_while_the_set_grows_and_forgets()
    {
        const int count = 60_000;
        var hashes = Enumerable.Range(0, count).Select(i => TokenHash.Of($"{i}")).ToArray();
        var missions = Enumerable.Range(0, 50).Select(i => TestTokens.Claims() with { MissionId = $"m{i}", Jti = null }).ToArray();
        int applied = 0, forgotten = 0;
        var readers = Enumerable.Range(0, 3).Select(seed => Task.Run(() =>
        {
            var random = new Random(seed);
            long missed = 0;
            while (Volatile.Read(ref applied) < count)
            {
                int known = Volatile.Read(ref applied);
                if (known == 0) continue;
                int i = Math.Max(0, known - 1 - random.Next(100));
                if (i % 10 != 0 && _set.Find(hashes[i], TestTokens.Claims(), Kid) is null) missed++;
                if (known > 50 && _set.Find(default, missions[i % 50], Kid) is null) missed++;
            }
            return missed;
        })).ToArray();
        for (int i = 0; i < count; i++)
        {
            _set.Apply(Token(2 * i + 1, hashes[i]) with { ExpiresAt = i % 10 == 0 ? Now.AddDays(-2) : Now });
            _set.Apply(Group(2 * i + 2, RevocationKind.Mission, missions[i % 50].MissionId!) with { Blocked = true, Cut = i });
            if (i % 5000 == 4999) forgotten += _set.DropExpired(Now);
            Volatile.Write(ref applied, i + 1);
        }
        Assert.True(forgotten > 1000, $"only {forgotten} were forgotten meanwhile");
        Assert.All(await Task.WhenAll(readers), missed => Assert.Equal(0, missed));
    }

    [Fact]
    public void The_digest_of_a_snapshot_covers_numbers_and_names_in_order()
    {
        var group = GroupKey.Of(RevocationKind.Mission, "", "m");
        RevocationEntry[] entries = [Token(3, TokenHash.Of("a"), "j"), Token(5, jti: "j2"), Group(300, RevocationKind.Mission, "m") with { Blocked = true }];
        byte[] text = [.. Number(3), .. TokenHash.Of("a").ToArray(), .. Number(5), .. SHA256.HashData(Encoding.UTF8.GetBytes("j2")), .. Number(300), .. group.Hash];
        using var digest = new SnapshotDigest();
        foreach (var entry in entries) digest.Add(entry);
        Assert.Equal(SHA256.HashData(text), digest.Compute());
        Assert.Equal(3, digest.Count);

        static byte[] Number(long value)
        {
            var bytes = new byte[8];
            BinaryPrimitives.WriteInt64BigEndian(bytes, value);
            return bytes;
        }
    }

    private static RevocationEntry Token(long seq, TokenHash? hash = null, string? jti = null) =>
        new() { RevocationSeq = new RevocationSeq(seq), Seq = new Seq(seq), RevokedAt = Now, TokenHash = hash, Jti = jti };

    private static RevocationEntry Group(long seq, RevocationKind kind, string value, string ownerScope = "") =>
        new() { RevocationSeq = new RevocationSeq(seq), Seq = new Seq(seq), RevokedAt = Now, Group = GroupKey.Of(kind, ownerScope, value) };
}
