using ClawBureau.Tokens;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Statements;

/// <summary>
/// Judges the tokens that the callers of a batch authenticated with, before anything of the batch is: also before what a
/// repeated request is answered with. One dead token ends the batch, and its acts are then refused without the others; it is
/// rare, because the token was good when the call was admitted.
/// </summary>
internal static class CallerStatement
{
    /// <summary>SQLSTATE of <c>ledger.refuse_callers</c>; its message lists the ordinals.</summary>
    public const string CallerDead = "TR001";

    private static readonly string Text = $"""
        SELECT ledger.refuse_callers(array(
          SELECT c.ord FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[]) AS c(ord, token_hash, jti, kid)
           WHERE EXISTS (SELECT 1 FROM ledger.revoked_tokens r WHERE r.token_hash = c.token_hash)
              OR EXISTS (SELECT 1 FROM ledger.revoked_tokens r WHERE r.jti = c.jti)
              OR NOT EXISTS (SELECT 1 FROM ledger.keys k WHERE k.kid = c.kid AND k.state <> {(short)KeyState.Retired} AND NOT k.is_foreign
                                AND coalesce(k.not_after >= extract(epoch FROM clock_timestamp()), true))
          UNION
          SELECT g.ord FROM unnest($5::int[], $6::smallint[], $7::bytea[], $8::bigint[]) AS g(ord, kind, group_key, iat)
            JOIN ledger.blocked_groups b ON b.kind = g.kind AND b.group_key = g.group_key
           WHERE b.blocked OR g.iat <= b.cut
        ))
        """;

    /// <summary>Puts the statement into the batch; it has one row.</summary>
    /// <returns>False: no act has such a caller, nothing was added.</returns>
    public static bool TryAddTo(NpgsqlBatch batch, IEnumerable<PendingAct> pending)
    {
        var callers = pending.Where(p => p.Act.CallerToken is not null).Select(p => (p.Ordinal, Token: p.Act.CallerToken!)).ToList();
        if (callers.Count == 0) return false;
        var groups = callers.SelectMany(c => c.Token.Groups.Select(g => (c.Ordinal, Group: g, c.Token.IssuedAt))).ToList();
        var command = new NpgsqlBatchCommand(Text);
        Add(NpgsqlDbType.Integer, callers.Select(c => c.Ordinal));
        Add(NpgsqlDbType.Bytea, callers.Select(c => c.Token.TokenHash.ToArray()));
        Add(NpgsqlDbType.Text, callers.Select(c => c.Token.Jti));
        Add(NpgsqlDbType.Text, callers.Select(c => c.Token.KeyId.ToString()));
        Add(NpgsqlDbType.Integer, groups.Select(g => g.Ordinal));
        Add(NpgsqlDbType.Smallint, groups.Select(g => (short)g.Group.Kind));
        Add(NpgsqlDbType.Bytea, groups.Select(g => g.Group.Hash));
        Add(NpgsqlDbType.Bigint, groups.Select(g => g.IssuedAt));
        batch.BatchCommands.Add(command);
        return true;

        void Add<T>(NpgsqlDbType type, IEnumerable<T> values) => command.Parameters.Add(new() { Value = values.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | type });
    }

    /// <summary>The ordinals that a batch ended by this statement names.</summary>
    public static IReadOnlySet<int> DeadOf(PostgresException refused) => refused.MessageText.Split(',').Select(int.Parse).ToHashSet();
}
