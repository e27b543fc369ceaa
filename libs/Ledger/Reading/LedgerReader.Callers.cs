using ClawBureau.Tokens;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Reading;

public sealed partial class LedgerReader
{
    /// <summary>
    /// Whether anything revoked or blocked stands against a token, as of this read: nothing that was acknowledged before it is
    /// missing.
    /// </summary>
    /// <returns>Null where the database is no primary, so that nobody can say.</returns>
    public async Task<bool?> IsDeadAsync(TokenHash tokenHash, string? jti, long issuedAt, IReadOnlyList<GroupKey> groups, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("""
            SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE
                   EXISTS (SELECT 1 FROM ledger.revoked_tokens r WHERE r.token_hash = $1)
                OR EXISTS (SELECT 1 FROM ledger.revoked_tokens r WHERE r.jti = $2)
                OR EXISTS (SELECT 1 FROM unnest($3::smallint[], $4::bytea[]) AS g(kind, group_key)
                             JOIN ledger.blocked_groups b ON b.kind = g.kind AND b.group_key = g.group_key
                            WHERE b.blocked OR b.cut >= $5)
                END
            """);
        command.Parameters.Add(new() { Value = tokenHash.ToArray() });
        command.Parameters.Add(new() { NpgsqlDbType = NpgsqlDbType.Text, Value = (object?)jti ?? DBNull.Value });
        command.Parameters.Add(new() { Value = groups.Select(g => (short)g.Kind).ToArray() });
        command.Parameters.Add(new() { Value = groups.Select(g => g.Hash).ToArray() });
        command.Parameters.Add(new() { Value = issuedAt });
        return await command.ExecuteScalarAsync(cancellationToken) as bool?;
    }

    /// <summary>Raises the longest life that a token could ever be given here; never lowers it.</summary>
    /// <returns>Rows changed: 0 where it was as long already.</returns>
    public async Task<int> RaiseLongestTtlAsync(long seconds, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("UPDATE ledger.head SET longest_ttl = $1 WHERE longest_ttl < $1");
        command.Parameters.Add(new() { Value = seconds });
        return await command.ExecuteNonQueryAsync(cancellationToken);
    }
}
