using System.Collections.Concurrent;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Microsoft.Extensions.Logging.Abstractions;

namespace ClawBureau.Client.Tests;

/// <summary>Tokens are got once, renewed in time, and replaced once when a service rejects them.</summary>
public sealed class TokenSourceTests
{
    private readonly TestClock _clock = new();
    private readonly FakeIssuance _issuer;

    public TokenSourceTests() => _issuer = new FakeIssuance(_clock);

    [Fact]
    public async Task However_many_ask_at_one_time_one_token_is_issued()
    {
        var source = Source();
        var gate = new TaskCompletionSource();
        _issuer.Gate = gate.Task;
        var asking = Enumerable.Range(0, 200).Select(_ => source.GetAsync(CancellationToken.None).AsTask()).ToList();
        gate.SetResult();
        Assert.Single((await Task.WhenAll(asking)).DistinctBy(token => token.Compact));
        Assert.Equal(1, _issuer.Issued);
    }

    [Fact]
    public async Task A_token_of_60_minutes_is_renewed_between_46_and_50_and_serves_meanwhile()
    {
        for (int round = 0; round < 50; round++)
        {
            var issuer = new FakeIssuance(_clock);
            var source = Source(issuer);
            var first = await source.GetAsync(CancellationToken.None);
            _clock.Advance(TimeSpan.FromMinutes(45.9));
            Assert.Same(first, await source.GetAsync(CancellationToken.None));
            Assert.Equal(1, issuer.Issued);

            var gate = new TaskCompletionSource();
            issuer.Gate = gate.Task;
            _clock.Advance(TimeSpan.FromMinutes(50.1 - 45.9));
            // Nobody asks; it is under way all the same.
            await Eventually.HoldsAsync("it is under way", () => issuer.Issued == 2);
            for (int i = 0; i < 10; i++) Assert.Same(first, await source.GetAsync(CancellationToken.None));     // and nobody waits
            gate.SetResult();
            await Eventually.HoldsAsync("the new one is here", async () => await source.GetAsync(CancellationToken.None) != first);
            Assert.Equal(2, issuer.Issued);
        }
    }

    [Fact]
    public async Task A_renewal_that_failed_is_tried_again_although_nobody_asks_until_the_old_one_has_expired()
    {
        var source = Source();
        var first = await source.GetAsync(CancellationToken.None);
        _issuer.Down = new Refusal(Reason.PeerUnavailable);
        _clock.Advance(TimeSpan.FromMinutes(50));
        await Eventually.HoldsAsync("it was tried again", () =>
        {
            _clock.Advance(TimeSpan.FromSeconds(1));
            return _issuer.Issued >= 4;
        }, pause: TimeSpan.FromMilliseconds(1));
        _issuer.Down = null;
        await Eventually.HoldsAsync("the new one is here", () =>
        {
            _clock.Advance(TimeSpan.FromSeconds(1));
            return source.TryGet(out var token) && token != first;
        }, pause: TimeSpan.FromMilliseconds(1));
    }

    [Fact]
    public async Task A_token_that_nobody_asked_for_is_not_renewed()
    {
        var source = Source();
        await source.GetAsync(CancellationToken.None);
        _clock.Advance(TimeSpan.FromMinutes(50.1));
        await Eventually.HoldsAsync("the one that was shown is renewed", () => _issuer.Tokens.Count == 2);
        // An alarm may still be on its way to the second one; time goes on until it has passed.
        for (int i = 0; i < 4; i++)
        {
            await Task.Yield();
            _clock.Advance(TimeSpan.FromMinutes(30));
        }
        Assert.Equal(2, _issuer.Issued);
        await Eventually.HoldsAsync("the next to ask gets a new one", async () => (await source.GetAsync(CancellationToken.None)).ExpiresAt > _clock.GetUtcNow());
        Assert.Equal(3, _issuer.Issued);
    }

    [Fact]
    public async Task The_moment_of_renewal_is_not_the_same_for_all()
    {
        var renewed = new HashSet<int>();
        for (int i = 0; i < 40; i++)
        {
            var issuer = new FakeIssuance(_clock);
            var source = Source(issuer);
            await source.GetAsync(CancellationToken.None);
            int seconds = 46 * 60 - 10;
            _clock.Advance(TimeSpan.FromSeconds(seconds));
            while (source.TryGet(out _) && issuer.Issued == 1 && seconds < 3600)
            {
                await Task.Yield();
                _clock.Advance(TimeSpan.FromSeconds(10));
                seconds += 10;
            }
            Assert.NotEqual(1, issuer.Issued);
            renewed.Add(seconds / 30);
        }
        Assert.True(renewed.Count > 2);
    }

    [Fact]
    public async Task While_no_new_one_can_be_had_the_old_one_serves_until_it_expires_and_no_longer()
    {
        var source = Source();
        var first = await source.GetAsync(CancellationToken.None);
        _issuer.Down = new Refusal(Reason.PeerUnavailable);
        int tries = _issuer.Issued;
        _clock.Advance(TimeSpan.FromMinutes(51));
        for (int i = 0; i < 1000; i++) Assert.Same(first, await source.GetAsync(CancellationToken.None));
        await Eventually.HoldsAsync("it was tried", () => _issuer.Issued > tries);
        Assert.InRange(_issuer.Issued - tries, 1, 2);               // with pauses, not a thousand times

        _clock.Advance(TimeSpan.FromMinutes(9) - TimeSpan.FromMilliseconds(1));
        Assert.Same(first, await source.GetAsync(CancellationToken.None));
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.False(source.TryGet(out _));
        Assert.Equal(Reason.PeerUnavailable, (await Assert.ThrowsAsync<Refusal>(async () => await source.GetAsync(CancellationToken.None))).Reason);

        _issuer.Down = null;
        await Eventually.HoldsAsync("there is one again", async () =>
        {
            try
            {
                return await source.GetAsync(CancellationToken.None) != first;
            }
            catch (Refusal)
            {
                return false;           // the last failed try was still under way
            }
        });
    }

    [Fact]
    public async Task A_wall_clock_that_is_set_back_makes_no_token_live_longer()
    {
        var source = Source();
        await source.GetAsync(CancellationToken.None);
        _clock.Advance(TimeSpan.FromMinutes(60));
        _clock.StepWallClock(TimeSpan.FromHours(-2));
        Assert.False(source.TryGet(out _));
    }

    [Fact]
    public async Task A_rejected_token_is_replaced_once_for_all_who_were_rejected_with_it()
    {
        await using var client = await ClientFixture.StartAsync();
        var source = new TokenSource(_issuer, client.Keys, _clock, NullLogger<TokenSource>.Instance);
        var first = await source.GetAsync(CancellationToken.None);
        int reads = client.Source.Reads;
        var replaced = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => source.ReplaceAsync(first, CancellationToken.None)));
        var second = Assert.Single(replaced.DistinctBy(token => token!.Compact))!;
        Assert.NotEqual(first.Compact, second.Compact);
        Assert.Equal((2, reads + 1), (_issuer.Issued, client.Source.Reads));            // the contract and JWKS anew, then a token
        Assert.Same(second, await source.GetAsync(CancellationToken.None));

        // And its replacement not again: that would be a loop.
        for (int i = 0; i < 10; i++) Assert.Null(await source.ReplaceAsync(second, CancellationToken.None));
        Assert.Same(second, await source.ReplaceAsync(first, CancellationToken.None));
        Assert.Equal(2, _issuer.Issued);
    }

    [Fact]
    public async Task Who_gives_up_waiting_does_not_take_the_token_from_the_others()
    {
        var source = Source();
        var gate = new TaskCompletionSource();
        _issuer.Gate = gate.Task;
        using var impatient = new CancellationTokenSource();
        var givesUp = source.GetAsync(impatient.Token).AsTask();
        var waits = source.GetAsync(CancellationToken.None).AsTask();
        await impatient.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => givesUp);
        gate.SetResult();
        await waits;
        Assert.Equal(1, _issuer.Issued);
    }

    private TokenSource Source(FakeIssuance? issuer = null) => new(issuer ?? _issuer, null, _clock, NullLogger<TokenSource>.Instance);
}

/// <summary>Issues tokens of an hour, and counts.</summary>
internal sealed class FakeIssuance(TimeProvider time) : ITokenIssuer
{
    private int _issued;

    public int Issued => Volatile.Read(ref _issued);
    public Task Gate { get; set; } = Task.CompletedTask;
    public Refusal? Down { get; set; }
    public ConcurrentQueue<string> Tokens { get; } = new();

    /// <summary>What the next tokens are; null: any text.</summary>
    public Func<string>? Make { get; set; }

    public async Task<IssuedToken> IssueAsync(CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _issued);
        await Gate;
        if (Down is { } refusal) throw refusal;
        var compact = Make?.Invoke() ?? $"a.{Guid.NewGuid():N}.c";
        Tokens.Enqueue(compact);
        return new IssuedToken(compact, TokenHash.Of(compact), time.GetUtcNow(), time.GetUtcNow().AddHours(1));
    }
}
