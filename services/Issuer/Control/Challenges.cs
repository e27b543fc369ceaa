using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;
using NpgsqlTypes;

namespace ClawBureau.Issuer.Control;

/// <summary>
/// Keeps challenges until they are signed. Making one is no act and anybody may: this process makes a bounded number a second,
/// each lives for a bounded time, and one DID has a bounded number of them (DESIGN "Callers").
/// </summary>
internal sealed class Challenges(LedgerReads reads, ControlOptions options, DatabaseClock clock, TimeProvider time)
{
    private const int SecondsAtOnce = 10;

    private readonly Lock _lock = new();
    private double _allowance = options.ChallengesPerSecond * SecondsAtOnce;    // locked
    private long _allowedAt = time.GetTimestamp();                              // locked: when _allowance was last counted up

    /// <summary>One more may be made now. Asked before anything else, so that refusing is cheap.</summary>
    /// <exception cref="Refusal">RATE_LIMITED</exception>
    public void RequireAllowance()
    {
        lock (_lock)
        {
            long at = time.GetTimestamp();
            _allowance = Math.Min(options.ChallengesPerSecond * SecondsAtOnce, _allowance + (time.GetElapsedTime(_allowedAt, at).TotalSeconds * options.ChallengesPerSecond));
            _allowedAt = at;
            if (_allowance < 1) throw new Refusal(Reason.RateLimited);
            _allowance--;
        }
    }

    /// <summary>When a challenge made now expires, in whole epoch seconds as its message has it.</summary>
    public DateTimeOffset ExpiryOf(TimeSpan lifetime) => DateTimeOffset.FromUnixTimeSeconds((clock.Now() + lifetime).ToUnixTimeSeconds());

    /// <summary>Puts a challenge, and drops a few that nobody asks for any more.</summary>
    /// <exception cref="Refusal">RATE_LIMITED: the DID has too many open; LEDGER_UNAVAILABLE.</exception>
    public async Task PutAsync(Challenge challenge, CancellationToken cancellationToken)
    {
        await using var command = reads.Source.CreateCommand("""
            WITH old AS (
              DELETE FROM control.challenges WHERE challenge_id IN
                (SELECT challenge_id FROM control.challenges WHERE expires_at < clock_timestamp() - interval '1 hour' ORDER BY expires_at LIMIT 8 FOR UPDATE SKIP LOCKED)
            )
            INSERT INTO control.challenges (challenge_id, purpose, owner_did, message, created_at, expires_at, controller_did, agent_did,
                                            rotation_role, from_did, to_did, transfer_to_owner_did, bundle_hash, policy_hash)
            SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
             WHERE (SELECT count(*) FROM control.challenges WHERE owner_did = $3 AND consumed_seq IS NULL AND expires_at > clock_timestamp()) < $15
            """);
        Add(NpgsqlDbType.Text, challenge.ChallengeId);
        Add(NpgsqlDbType.Text, challenge.Purpose);
        Add(NpgsqlDbType.Text, challenge.OwnerDid);
        Add(NpgsqlDbType.Text, challenge.Message);
        Add(NpgsqlDbType.TimestampTz, challenge.CreatedAt);
        Add(NpgsqlDbType.TimestampTz, challenge.ExpiresAt);
        Add(NpgsqlDbType.Text, challenge.ControllerDid);
        Add(NpgsqlDbType.Text, challenge.AgentDid);
        Add(NpgsqlDbType.Smallint, (short?)challenge.RotationRole);
        Add(NpgsqlDbType.Text, challenge.FromDid);
        Add(NpgsqlDbType.Text, challenge.ToDid);
        Add(NpgsqlDbType.Text, challenge.TransferToOwnerDid);
        Add(NpgsqlDbType.Text, challenge.BundleHash);
        Add(NpgsqlDbType.Text, challenge.PolicyHash);
        Add(NpgsqlDbType.Integer, options.ChallengesPerDid);
        int put;
        try
        {
            put = await command.ExecuteNonQueryAsync(cancellationToken);
        }
        catch (Exception e) when (ControlLedger.IsDatabaseAway(e))
        {
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
        if (put == 0) throw new Refusal(Reason.RateLimited, "This DID has too many open challenges; use one, or wait until they expire.");

        void Add(NpgsqlDbType type, object? value) => command.Parameters.Add(new() { NpgsqlDbType = type, Value = value ?? DBNull.Value });
    }
}
