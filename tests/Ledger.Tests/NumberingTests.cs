using ClawBureau.Testing;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Ledger.Tests;

/// <summary>L1: the order of numbers is the order of commits, which takes the head's lock.</summary>
public sealed class NumberingTests
{
    /// <summary>
    /// A batch that has its numbers waits, and another one arrives. Acts that a sequence numbers are the negative control: a later number is
    /// there before an earlier one, and whoever counts by them passes it over.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_later_number_is_never_seen_before_an_earlier_one_unless_a_sequence_gives_them(bool bySequence)
    {
        await using var ledger = await LedgerFixture.StartAsync();
        if (bySequence) await ledger.ExecuteAsync(BrokenAppend.Sequences);
        Func<string, string>? rewrite = bySequence ? BrokenAppend.NumberBySequence : null;
        var (slow, quick) = (await ledger.StartWriterAsync(rewrite: rewrite), await ledger.StartWriterAsync(rewrite: rewrite));
        var follower = new Follower(ledger);
        await follower.ReadAsync();

        var hash = TokenHash.Of("revoked by hand");
        await using var held = await ledger.HoldAsync($"INSERT INTO ledger.revoked_tokens (revocation_seq, seq, token_hash, expires_at, revoked_at, revoked_by) VALUES (1000, 1000, '\\x{hash}', now(), now(), 'test')");
        var late = slow.AppendAsync(Acts.Revoke(hash), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        var early = quick.AppendAsync(Acts.Revoke(TokenHash.Of("another")), CancellationToken.None);
        if (bySequence) await early;
        else await ledger.WaitForWaitersAsync(2);
        var meanwhile = await LedgerChecks.FindViolationsAsync(ledger);
        await follower.ReadAsync();
        await held.DisposeAsync();
        Assert.Equal((2, 3), ((await late).Seq.Value, (await early).Seq.Value));
        await follower.ReadAsync();

        var passedOver = await follower.FindViolationsAsync();
        if (!bySequence)
        {
            Assert.Empty(meanwhile);
            Assert.Empty(passedOver);
            return;
        }
        foreach (var sentence in (string[])["the head is not the number of events", "a hole before seq: 3", "the feed's head is not the number of its rows", "a hole in the feed before: 2"])
            Assert.Contains(meanwhile, v => v.StartsWith(sentence, StringComparison.Ordinal));
        Assert.Equal(["act 2 was passed over"], passedOver);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_batch_that_fails_leaves_no_hole_unless_a_sequence_numbered_it(bool bySequence)
    {
        await using var ledger = await LedgerFixture.StartAsync();
        if (bySequence) await ledger.ExecuteAsync(BrokenAppend.Sequences);
        var writer = await ledger.StartWriterAsync(rewrite: bySequence ? BrokenAppend.NumberBySequence : null);
        var first = Acts.Mint();
        await writer.AppendAsync(first, CancellationToken.None);
        await Assert.ThrowsAsync<PostgresException>(() => writer.AppendAsync(Acts.Mint(jti: first.Claims.Jti), CancellationToken.None));
        await writer.AppendAsync(Acts.Mint(), CancellationToken.None);

        var violations = await LedgerChecks.FindViolationsAsync(ledger);
        if (bySequence) Assert.Contains("a hole before seq: 4", violations);
        else Assert.Empty(violations);
    }

    /// <summary>Reads the ledger as every follower does: what lies behind the last read, up to the head, of one snapshot.</summary>
    private sealed class Follower(LedgerFixture ledger)
    {
        private readonly List<long> _read = [];
        private long _head;

        public async Task ReadAsync()
        {
            await using var command = ledger.Admin.CreateCommand("SELECT h.seq, e.seq FROM ledger.head h LEFT JOIN ledger.events e ON e.seq > $1 AND e.seq <= h.seq ORDER BY e.seq");
            command.Parameters.Add(new() { Value = _head });
            await using var reader = await command.ExecuteReaderAsync();
            while (await reader.ReadAsync())
            {
                _head = reader.GetInt64(0);
                if (!reader.IsDBNull(1)) _read.Add(reader.GetInt64(1));
            }
        }

        public async Task<IReadOnlyList<string>> FindViolationsAsync()
        {
            await using var command = ledger.Admin.CreateCommand("SELECT seq FROM ledger.events WHERE seq <> ALL ($1) ORDER BY seq");
            command.Parameters.Add(new() { Value = _read.ToArray() });
            await using var reader = await command.ExecuteReaderAsync();
            var found = new List<string>();
            while (await reader.ReadAsync()) found.Add($"act {reader.GetInt64(0)} was passed over");
            return found;
        }
    }
}
