using System.Text.Json;
using ClawBureau.Client.Keys;
using ClawBureau.Testing;
using ClawBureau.Tokens;

namespace ClawBureau.Client.Tests;

/// <summary>Keys come once, when they change, and at most once per cool-down because somebody shows tokens of keys that do not exist.</summary>
public sealed class KeyTests
{
    [Fact]
    public async Task Ten_thousand_tokens_of_unknown_keys_cause_one_fetch_per_cool_down()
    {
        await using var client = await ClientFixture.StartAsync();
        var known = client.Sign().Compact;
        var unknown = OfUnknownKey(known, 0);
        int reads = client.Source.Reads;

        var answers = await Task.WhenAll(Enumerable.Range(1, 10_000).Select(i => client.VerifyAsync(OfUnknownKey(known, i)).AsTask()));
        Assert.All(answers, answer => Assert.Equal(Reason.TokenUnknownKid, answer.Reason));
        Assert.Equal(reads + 1, client.Source.Reads);
        Assert.True((await client.VerifyAsync(known)).IsValid);

        client.Clock.Advance(client.Options.KeyCoolDown - TimeSpan.FromMilliseconds(1));
        await client.VerifyAsync(unknown);
        Assert.Equal(reads + 1, client.Source.Reads);
        client.Clock.Advance(TimeSpan.FromMilliseconds(1));
        await client.VerifyAsync(unknown);
        Assert.Equal(reads + 2, client.Source.Reads);
        Assert.Equal(0, client.Introspection.Calls);

        // Each names a key of its own: nothing that is remembered by its name helps.
        static string OfUnknownKey(string token, int i) =>
            Base64UrlText.Encode(System.Text.Encoding.UTF8.GetBytes($$"""{"alg":"EdDSA","typ":"JWT","kid":"{{i:x16}}"}""")) + token[token.IndexOf('.', StringComparison.Ordinal)..];
    }

    [Fact]
    public async Task A_key_that_was_published_meanwhile_is_found_by_that_fetch_and_by_all_who_wait_for_it()
    {
        await using var client = await ClientFixture.StartAsync();
        using var added = TestKeys.KeyOf(42);
        var gate = new TaskCompletionSource();
        client.Source.Gate = gate.Task;
        client.Source.Keys = new([client.Key.VerificationKey, added.VerificationKey]);
        int reads = client.Source.Reads;
        var token = client.Sign(key: added).Compact;
        var waiting = Enumerable.Range(0, 100).Select(_ => client.VerifyAsync(token).AsTask()).ToList();
        gate.SetResult();
        Assert.All(await Task.WhenAll(waiting), answer => Assert.True(answer.IsValid));
        Assert.Equal(reads + 1, client.Source.Reads);
    }

    [Fact]
    public async Task A_change_that_the_feed_announces_is_fetched_whatever_the_cool_down_says_and_until_then_nothing_is_decided_alone()
    {
        await using var client = await ClientFixture.StartAsync();
        using var stranger = TestKeys.KeyOf(99);
        using var added = TestKeys.KeyOf(42);
        await client.VerifyAsync(client.Sign(key: stranger).Compact);          // the cool-down begins
        var gate = new TaskCompletionSource();
        client.Source.Gate = gate.Task;
        client.Source.Keys = new([client.Key.VerificationKey, added.VerificationKey]);
        client.Source.Seq = client.Feed.KeysSeq + 1;
        client.Feed.ChangeKeys();
        await client.AppliedAsync(0);
        Assert.True(client.Keys.IsBehind);
        Assert.False(client.Verifier.TryVerify(client.Sign().Compact, TokenRequirements.None, out _));

        gate.SetResult();
        await Testing.Eventually.HoldsAsync("the change is here", () => !client.Keys.IsBehind);
        Assert.True((await client.VerifyAsync(client.Sign(key: added).Compact)).IsValid);
    }

    [Fact]
    public async Task A_change_that_cannot_be_fetched_is_tried_again_with_pauses_and_the_Introspector_is_asked_meanwhile()
    {
        await using var client = await ClientFixture.StartAsync();
        client.Source.Down = new Refusal(Reason.PeerUnavailable);
        client.Source.Seq = client.Feed.KeysSeq + 1;
        client.Feed.ChangeKeys();
        await client.AppliedAsync(0);
        client.Introspection.Answer = request => FakeIntrospection.Active(request.Token, client.Key.KeyId);
        Assert.Equal(VerificationSource.Introspection, (await client.VerifyAsync(client.Sign().Compact)).Confidence.Source);

        int reads = client.Source.Reads;
        await client.HoldsAsync("it is tried again", () => client.Source.Reads >= reads + 2);
        client.Source.Down = null;
        await client.HoldsAsync("the change is here", () => !client.Keys.IsBehind);
        await client.HasLeaseAsync();
        Assert.True(client.Verifier.TryVerify(client.Sign().Compact, TokenRequirements.None, out _));
    }

    [Fact]
    public async Task Without_any_keys_they_are_asked_for_again_within_half_a_second_however_long_it_takes()
    {
        var clock = new PausesTold();
        var source = new CountedKeys { Down = new Refusal(Reason.PeerUnavailable) };
        var keys = new KeyCache(source, new ClientOptions(), clock, Microsoft.Extensions.Logging.Abstractions.NullLogger<KeyCache>.Instance);
        using var stop = new CancellationTokenSource();
        var running = keys.RunAsync(stop.Token);
        await Testing.Eventually.HoldsAsync("it was tried thirty times", () => clock.Pauses.Count >= 30);
        var pauses = clock.Pauses.ToArray();
        source.Down = null;
        await keys.Loaded;
        await stop.CancelAsync();
        await running;
        Assert.InRange(pauses[0].TotalMilliseconds, 50, 100);
        Assert.All(pauses, pause => Assert.InRange(pause.TotalMilliseconds, 50, 500));
        Assert.Contains(pauses, pause => pause.TotalMilliseconds > 200);
    }

    /// <summary>Says how long somebody wanted to wait, and lets him go at once.</summary>
    private sealed class PausesTold : TimeProvider
    {
        public System.Collections.Concurrent.ConcurrentQueue<TimeSpan> Pauses { get; } = [];

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Pauses.Enqueue(dueTime);
            return base.CreateTimer(callback, state, TimeSpan.Zero, period);
        }
    }

    [Fact]
    public async Task Keys_that_are_old_are_fetched_again_although_nobody_asks()
    {
        await using var client = await ClientFixture.StartAsync();
        int reads = client.Source.Reads;
        await client.HoldsAsync("they are fetched again", () => client.Source.Reads > reads, milliseconds: 1000);
        Assert.True(client.Clock.GetElapsedTime(0) >= client.Options.KeyMaxAge);
    }

    [Fact]
    public async Task A_key_past_its_cut_off_is_told_from_one_that_is_unknown()
    {
        await using var client = await ClientFixture.StartAsync();
        client.Source.Keys = new([client.Key.VerificationKey.With(KeyState.VerifyOnly, client.Steady.UtcNow.ToUnixTimeSeconds() + 2)]);
        await client.Keys.RefreshAsync(CancellationToken.None);
        var token = client.Sign().Compact;
        Assert.True((await client.VerifyAsync(token)).IsValid);
        client.Clock.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal(Reason.TokenKidExpired, (await client.VerifyAsync(token)).Reason);
    }

    [Fact]
    public void A_JWKS_and_a_rotation_contract_are_read_as_the_contract_has_them()
    {
        using var active = TestKeys.KeyOf(11);
        using var former = TestKeys.KeyOf(42);
        var now = DateTimeOffset.FromUnixTimeSeconds(1_800_000_000);
        VerificationKey[] keys = [active.VerificationKey.With(KeyState.Active, null), former.VerificationKey.With(KeyState.VerifyOnly, 1_800_000_100)];
        using var jwks = JsonDocument.Parse(JsonWebKeys.Write(keys));
        using var contract = JsonDocument.Parse(RotationContract.Of(new VerificationKeySet(keys), [active.KeyId], 300, now).ToJson());
        var read = JwksKeySource.Read(jwks.RootElement, contract.RootElement);
        Assert.Equal(
            [(active.KeyId, KeyState.Active, null), (former.KeyId, KeyState.VerifyOnly, (long?)1_800_000_100)],
            read.Keys.Keys.Select(key => (key.KeyId, key.State, key.NotAfter)));

        foreach (var (what, spoilt) in new[]
        {
            ("a kid that is another key's", JsonWebKeys.Write(keys[..1]).AsText().Replace(active.KeyId.ToString(), former.KeyId.ToString(), StringComparison.Ordinal)),
            ("x of another length", """{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA","kid":"fe2b99fd9afaa999","use":"sig"}]}"""),
            ("no kid", """{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}"""),
        })
        {
            using var wrong = JsonDocument.Parse(spoilt);
            Assert.True(Record.Exception(() => JwksKeySource.Read(wrong.RootElement, contract.RootElement)) is Refusal or FormatException or KeyNotFoundException, what);
        }
        using var others = JsonDocument.Parse("""{"keys":[{"kty":"RSA","kid":"r","crv":"none"},{"kty":"OKP","crv":"Ed25519","use":"enc","kid":"e"}]}""");
        Assert.True(JwksKeySource.Read(others.RootElement, contract.RootElement).Keys.IsEmpty);
    }
}

internal static class Utf8
{
    public static string AsText(this byte[] bytes) => System.Text.Encoding.UTF8.GetString(bytes);
}
