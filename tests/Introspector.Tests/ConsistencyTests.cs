using ClawBureau.Protos.Types.V1;
using Google.Protobuf.WellKnownTypes;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Introspector.Tests;

public sealed class ConsistencyTests
{
    [Fact]
    public async Task At_least_a_revision_that_is_known_already_is_answered_without_a_read()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked);
        var token = introspector.Sign();
        var known = (await introspector.IntrospectAsync(token)).Revision;
        long polls = introspector.Follower.Polls;
        var answer = await introspector.IntrospectAsync(token, new Consistency { AtLeast = known });
        Assert.Equal((true, known, polls), (answer.Active, answer.Revision, introspector.Follower.Polls));
    }

    [Fact]
    public async Task At_least_the_revision_of_a_revocation_sees_it()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked);
        var token = introspector.Sign();
        await introspector.IntrospectAsync(token);
        var outcome = await introspector.RevokeAsync(token);
        var answer = await introspector.IntrospectAsync(token, AtLeast(outcome.Epoch.ToString(), outcome.Seq.Value, outcome.RevocationSeq.Value));
        Assert.True(answer.Revoked);
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(0, 1)]
    public async Task A_revision_that_the_ledger_has_not_reached_is_refused(int seqAhead, int revocationsAhead)
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var token = introspector.Sign();
        var now = (await introspector.IntrospectAsync(token)).Revision;
        var refusal = await introspector.RefusedAsync(token, AtLeast(now.Epoch, now.Seq + seqAhead, now.RevocationSeq + revocationsAhead));
        Assert.Equal(Reason.RevisionNotReached, refusal.Reason);
    }

    [Fact]
    public async Task A_revision_of_another_epoch_does_not_compare()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var token = introspector.Sign();
        Assert.Equal(Reason.LedgerEpochMismatch, (await introspector.RefusedAsync(token, AtLeast(Guid.NewGuid().ToString(), 0, 0))).Reason);
        Assert.Equal(Reason.InvalidRequest, (await introspector.RefusedAsync(token, AtLeast("", 0, 0))).Reason);
    }

    [Fact]
    public async Task State_younger_than_the_bound_is_answered_without_a_read_and_older_state_with_one()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked);
        var token = introspector.Sign();
        await introspector.IntrospectAsync(token);
        await introspector.RevokeAsync(token);
        long polls = introspector.Follower.Polls;

        var answer = await introspector.IntrospectAsync(token, Bounded(TimeSpan.FromHours(1)));
        Assert.Equal((true, polls), (answer.Active, introspector.Follower.Polls));
        Assert.True(answer.Age.ToTimeSpan() > TimeSpan.Zero);

        answer = await introspector.IntrospectAsync(token, Bounded(TimeSpan.FromTicks(1)));
        Assert.Equal((true, polls + 1), (answer.Revoked, introspector.Follower.Polls));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(-1, 0)]
    [InlineData(0, -1_000_000)]
    [InlineData(0, 50)]                      // less than can be told apart
    [InlineData(1, -1)]                      // not a Duration
    [InlineData(0, 2_000_000_000)]           // not a Duration
    [InlineData(long.MaxValue, 0)]           // not a Duration
    public async Task A_bound_that_is_not_positive_is_refused(long seconds, int nanos)
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var refusal = await introspector.RefusedAsync(introspector.Sign(), new Consistency { Bounded = new Duration { Seconds = seconds, Nanos = nanos } });
        Assert.Equal((Reason.InvalidRequest, "consistency.bounded"), (refusal.Reason, refusal.Metadata["field"]));
    }

    private static Consistency AtLeast(string epoch, long seq, long revocationSeq) =>
        new() { AtLeast = new Revision { Epoch = epoch, Seq = seq, RevocationSeq = revocationSeq } };

    private static Consistency Bounded(TimeSpan bound) => new() { Bounded = Duration.FromTimeSpan(bound) };
}
