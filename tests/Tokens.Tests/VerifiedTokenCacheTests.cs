using System.Reflection;

namespace ClawBureau.Tokens.Tests;

/// <summary>What is remembered is that a signature was good, and nothing else.</summary>
public sealed class VerifiedTokenCacheTests : IDisposable
{
    private readonly SigningKey _key = TestTokens.Key(23);
    private readonly SigningKey _other = TestTokens.Key(11);
    private readonly VerifiedTokenCache _cache = new();

    public void Dispose()
    {
        _key.Dispose();
        _other.Dispose();
    }

    [Fact]
    public void A_token_seen_before_is_answered_alike_and_its_signature_is_not_checked_again()
    {
        var compact = TokenSigner.Sign(TestTokens.Claims(), _key).Compact;
        var first = Verify(compact);
        var again = Verify(compact);
        Assert.Same(first, again);
        Assert.Same(first, _cache.Verify(System.Text.Encoding.ASCII.GetBytes(compact), TestTokens.Keys(_key), TestTokens.Now));
        Assert.Equal((1L, 1), (_cache.Misses, _cache.Count));
        Assert.Equal((_key.KeyId, KidSource.Header, TokenHash.Of(compact)), (again.KeyId, again.KidSource, again.TokenHash));
    }

    [Fact]
    public void A_text_that_ends_like_a_kept_one_is_judged_by_all_of_it()
    {
        var key = TestTokens.Key();
        var keys = TestTokens.Keys(key);
        var cache = new VerifiedTokenCache();
        var good = TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(), key);
        cache.Verify(good, keys, TestTokens.Now);
        var signature = good[good.LastIndexOf('.')..];
        var others = TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(""","jti":"other" """.TrimEnd()), key);
        var forged = others[..others.LastIndexOf('.')] + signature;
        Assert.Equal(Reason.TokenSignatureInvalid, TestTokens.Refused(() => cache.Verify(forged, keys, TestTokens.Now)).Reason);
        Assert.Equal(Reason.TokenMalformed, TestTokens.Refused(() => cache.Verify(" " + good, keys, TestTokens.Now)).Reason);
        Assert.Equal(TokenHash.Of(good), cache.Verify(good, keys, TestTokens.Now).TokenHash);
    }

    [Fact]
    public void A_hit_allocates_nothing()
    {
        var keys = TestTokens.Keys(_key);
        var compact = TokenSigner.Sign(TestTokens.Claims(), _key).Compact;
        var large = TokenSigner.Sign(TestTokens.Claims() with { Scope = [.. Enumerable.Range(0, 64).Select(i => $"clawproxy:call:{i:d100}")] }, _key).Compact;
        Assert.True(large.Length > 4096);
        foreach (var token in (string[])[compact, large])
        {
            // The first calls compile, and fill the pool a long token borrows from.
            for (int warm = 0; warm < 100; warm++) _cache.Verify(token, keys, TestTokens.Now);
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (int call = 0; call < 1000; call++) _cache.Verify(token, keys, TestTokens.Now);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1000);     // not one byte per call
        }
        Assert.Equal(2, _cache.Misses);
    }

    [Fact]
    public void A_kept_token_expires_to_the_second_and_is_never_from_the_future()
    {
        var compact = TokenSigner.Sign(TestTokens.Claims(), _key).Compact;
        var keys = TestTokens.Keys(_key);
        _cache.Verify(compact, keys, TestTokens.Now);
        _cache.Verify(compact, keys, TestTokens.Now.AddSeconds(599));
        Assert.Equal(Reason.TokenExpired, Refused(compact, keys, TestTokens.Now.AddSeconds(600)));
        Assert.Equal(Reason.TokenIssuedInFuture, Refused(compact, keys, TestTokens.Now.AddSeconds(-31)));
        Assert.Equal(1, _cache.Misses);
    }

    [Fact]
    public void A_key_that_is_cut_off_retired_or_gone_between_two_uses_is_refused_at_the_second()
    {
        var compact = TokenSigner.Sign(TestTokens.Claims(), _key).Compact;
        Verify(compact);
        var now = TestTokens.Now;
        Assert.Equal(Reason.TokenKidExpired, Refused(compact, new([_key.VerificationKey.With(KeyState.VerifyOnly, now.ToUnixTimeSeconds() - 1)]), now));
        Assert.Equal(Reason.TokenKidExpired, Refused(compact, new([_key.VerificationKey.With(KeyState.Retired, null)]), now));
        Assert.Equal(Reason.TokenUnknownKid, Refused(compact, TestTokens.Keys(_other), now));
        Assert.Equal(Reason.SigningNotConfigured, Refused(compact, VerificationKeySet.Empty, now));

        // And what the set says of the key now is what the answer says.
        var foreign = new VerificationKeySet([new VerificationKey(_key.PublicKey, KeyState.VerifyOnly, now.ToUnixTimeSeconds(), isForeign: true)]);
        Assert.True(_cache.Verify(compact, foreign, now).IsForeign);
        Assert.False(Verify(compact).IsForeign);
        Assert.Equal(1, _cache.Misses);
    }

    [Fact]
    public void A_token_verified_under_a_key_that_is_retired_meanwhile_is_kept_and_not_accepted()
    {
        // The verification began with the set from before; it is put in after everybody else has the new one.
        var compact = TokenSigner.Sign(TestTokens.Claims(), _key).Compact;
        _cache.Verify(compact, TestTokens.Keys(_key), TestTokens.Now);
        var after = new VerificationKeySet([_key.VerificationKey.With(KeyState.Retired, null)]);
        Assert.Equal(Reason.TokenKidExpired, Refused(compact, after, TestTokens.Now));
        Assert.Equal(Reason.TokenKidExpired, Refused(compact, after, TestTokens.Now));
    }

    [Fact]
    public void Another_key_under_the_same_id_does_not_inherit_what_was_verified()
    {
        var compact = TokenSigner.Sign(TestTokens.Claims(), _key).Compact;
        Verify(compact);
        // Two keys whose ids collide cost 2^32 tries; a test forges the id instead.
        var impostor = new VerificationKey(_other.PublicKey);
        typeof(VerificationKey).GetField("<KeyId>k__BackingField", BindingFlags.Instance | BindingFlags.NonPublic)!.SetValue(impostor, _key.KeyId);
        Assert.Equal(Reason.TokenSignatureInvalid, Refused(compact, new([impostor]), TestTokens.Now));
        Assert.Equal(2, _cache.Misses);
    }

    [Fact]
    public void Without_a_kid_a_kept_token_is_answered_as_one_that_is_not()
    {
        var compact = TestTokens.Compact("""{"alg":"EdDSA"}""", TestTokens.Payload(), _key);
        var both = TestTokens.Keys(_other, _key);
        Assert.Equal(KidSource.Recovered, _cache.Verify(compact, both, TestTokens.Now).KidSource);
        Assert.Equal((KidSource.Recovered, _key.KeyId), (_cache.Verify(compact, both, TestTokens.Now).KidSource, _cache.Verify(compact, both, TestTokens.Now).KeyId));
        Assert.Equal(1, _cache.Misses);

        var retired = new VerificationKeySet([_other.VerificationKey, _key.VerificationKey.With(KeyState.Retired, null)]);
        Assert.Equal(Reason.TokenSignatureInvalid, Refused(compact, retired, TestTokens.Now));
        Assert.Equal(Reason.TokenSignatureInvalid, Refused(compact, TestTokens.Keys(_other), TestTokens.Now));
    }

    [Fact]
    public void Nothing_that_is_refused_is_kept()
    {
        var good = TokenSigner.Sign(TestTokens.Claims(), _key).Compact;
        string[] bad =
        [
            "", "a.b.c", good + "=", good[..^1], new string('A', TokenLimits.MaxTokenBytes + 1), "é" + good, good + "\uD800",
            TestTokens.Compact(TestTokens.Header(_key), TestTokens.Payload(), _other),
            TestTokens.Compact("""{"alg":"EdDSA","kid":"0123456789abcdef"}""", TestTokens.Payload(), _key),
        ];
        foreach (var token in bad)
        {
            Assert.Equal(Uncached(token), Refused(token, TestTokens.Keys(_key), TestTokens.Now));
            Assert.Equal(Uncached(token), Refused(token, TestTokens.Keys(_key), TestTokens.Now));
        }
        Assert.Equal((0, 0L), (_cache.Count, _cache.Bytes));

        Reason Uncached(string token) => TestTokens.Refused(() => TestTokens.Verify(token, _key)).Reason;
    }

    [Fact]
    public void A_flood_of_good_tokens_stays_within_the_count_and_does_not_push_out_what_is_in_use()
    {
        var cache = new VerifiedTokenCache(maxTokens: 64);
        var keys = TestTokens.Keys(_key);
        var hot = TokenSigner.Sign(TestTokens.Claims(), _key).Compact;
        cache.Verify(hot, keys, TestTokens.Now);
        for (int flood = 0; flood < 500; flood++)
        {
            cache.Verify(hot, keys, TestTokens.Now);
            cache.Verify(Numbered(flood), keys, TestTokens.Now);
            Assert.InRange(cache.Count, 1, 64);
        }
        Assert.Equal((501L, 64), (cache.Misses, cache.Count));
        cache.Verify(hot, keys, TestTokens.Now);
        Assert.Equal(501, cache.Misses);
    }

    [Fact]
    public void Large_tokens_are_bounded_by_their_bytes()
    {
        const long most = 256 * 1024;
        var cache = new VerifiedTokenCache(maxBytes: most);
        var keys = TestTokens.Keys(_key);
        for (int flood = 0; flood < 60; flood++)
        {
            // Short audiences are what takes most memory for its length in the token.
            var claims = TestTokens.Claims() with { Audience = Audience.Of(Enumerable.Range(0, 2500).Select(_ => "a")), Jti = $"{flood}" };
            cache.Verify(TokenSigner.Sign(claims, _key).Compact, keys, TestTokens.Now);
            Assert.InRange(cache.Bytes, 100_000, most);
        }
        Assert.InRange(cache.Count, 1, 2);
        Assert.Equal(60, cache.Misses);
    }

    [Fact]
    public void The_estimate_of_a_tokens_memory_is_never_too_low()
    {
        var keys = TestTokens.Keys(_key);
        TokenClaims[] all =
        [
            TestTokens.Claims(),
            TestTokens.Claims() with { Audience = Audience.Of(Enumerable.Range(0, 2500).Select(_ => "a")) },
            TestTokens.Claims() with { Scope = [.. Enumerable.Range(0, 64).Select(i => new string('x', 128))] },
            TestTokens.Claims() with { OwnerRef = new string('o', 512), MissionId = new string('m', 512), OwnerDid = Did.Parse("did:key:zOwner"), AgentDid = Did.Parse("did:key:zAgent") },
        ];
        foreach (var claims in all)
        {
            var cache = new VerifiedTokenCache();
            var compact = TokenSigner.Sign(claims, _key).Compact;
            cache.Verify(compact, keys, TestTokens.Now);
            Assert.InRange(RetainedBy(claims), 1, cache.Bytes);
        }

        // Strings as the runtime lays them out: 22 bytes and two per unit, rounded up to eight; and a reference to each.
        static long RetainedBy(TokenClaims c) =>
            1024 + c.Audience.Values.Concat(c.Scope).Concat(new[] { c.Sub, c.OwnerRef, c.MissionId, c.Jti, c.Nonce, $"{c.OwnerDid}", $"{c.AgentDid}" }.OfType<string>())
                .Sum(text => (22 + 2 * text.Length + 7) / 8 * 8 + 16);
    }

    [Fact]
    public void Under_many_threads_answers_are_right_and_the_bound_holds()
    {
        var cache = new VerifiedTokenCache(maxTokens: 16);
        var keys = TestTokens.Keys(_key);
        var tokens = Enumerable.Range(0, 40).Select(Numbered).ToArray();
        Parallel.For(0, 4000, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i =>
        {
            // Mostly the same few, now and then one that has to push another out.
            var compact = tokens[i % 10 == 0 ? i % 40 : i % 4];
            Assert.Equal(TokenHash.Of(compact), cache.Verify(compact, keys, TestTokens.Now).TokenHash);
            if (i % 7 == 0) Assert.Throws<Refusal>(() => cache.Verify(compact, keys, TestTokens.Now.AddHours(1)));
        });
        Assert.InRange(cache.Count, 1, 16);
        var distinct = tokens.Count(token =>
        {
            var before = cache.Misses;
            cache.Verify(token, keys, TestTokens.Now);
            return cache.Misses == before;
        });
        Assert.InRange(distinct, 1, 16);
    }

    private VerifiedToken Verify(string compact) => _cache.Verify(compact, TestTokens.Keys(_key), TestTokens.Now);

    private Reason Refused(string compact, VerificationKeySet keys, DateTimeOffset now) =>
        TestTokens.Refused(() => _cache.Verify(compact, keys, now)).Reason;

    private string Numbered(int number) => TokenSigner.Sign(TestTokens.Claims() with { Jti = $"{number}" }, _key).Compact;
}
