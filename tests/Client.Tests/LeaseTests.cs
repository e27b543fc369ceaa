using ClawBureau.Testing;
using ClawBureau.Tokens;

namespace ClawBureau.Client.Tests;

/// <summary>A lease counts from when it was asked for, by the follower's own clock (DESIGN "Revocation", 3).</summary>
public sealed class LeaseTests
{
    private static readonly TimeSpan Half = TimeSpan.FromSeconds(1.6);

    /// <summary>
    /// The answer to a renewal lies in a buffer while a token is revoked; then it arrives, and what follows it does not. The
    /// lease that counts from when its answer came is the negative control: it says yes beyond the bound.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_answer_that_lay_in_a_buffer_gives_no_more_time_than_was_asked_for(bool fromReceipt)
    {
        await using var client = await ClientFixture.StartAsync(options: new ClientOptions { CatchUpTimeout = TimeSpan.FromSeconds(30), LeasesFromReceipt = fromReceipt });
        client.Introspection.Answer = _ => throw new Refusal(Reason.NotReady);
        var token = client.Sign();
        Assert.True((await client.VerifyAsync(token.Compact)).IsValid);

        long heldAt = client.Clock.GetTimestamp(), leases = client.Follower.Lease!.Number;
        client.Feed.Hold();
        await Eventually.HoldsAsync("a renewal is sent", () =>
        {
            // No faster than real time, or the stream is given up for its silence.
            client.Clock.Advance(TimeSpan.FromMilliseconds(10));
            return client.Feed.Renewals.Any(t0 => t0 > heldAt);
        }, pause: TimeSpan.FromMilliseconds(10));
        client.Feed.RevokeToken(token.TokenHash);
        long acknowledgedAt = client.Clock.GetTimestamp();

        client.Clock.Advance(Half);
        client.Feed.ReleaseOne();
        await Eventually.HoldsAsync("the lease arrives", () => client.Follower.Lease!.Number > leases);
        client.Clock.Advance(Half);

        bool saysYes = client.Verifier.TryVerify(token.Compact, TokenRequirements.None, out var verification) && verification.IsValid;
        Assert.True(client.Clock.GetElapsedTime(acknowledgedAt) > client.Options.MaxStaleness);
        Assert.Equal(fromReceipt, saysYes);
    }
}
