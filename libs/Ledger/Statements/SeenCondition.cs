using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Statements;

/// <summary>The condition that records of the control plane are still what an act was decided from.</summary>
internal static class SeenCondition
{
    /// <summary>A CTE `stale`: the ord of every act of which one record has changed.</summary>
    /// <param name="first">Number of the first of its four parameters.</param>
    public static string Cte(int first) => $"""
        stale AS MATERIALIZED (
          SELECT DISTINCT s.ord FROM unnest(${first}::int[], ${first + 1}::smallint[], ${first + 2}::text[], ${first + 3}::bigint[]) AS s(ord, kind, key, version)
           WHERE s.version <> coalesce(CASE s.kind
                   WHEN {(short)SeenKind.Binding} THEN (SELECT b.version FROM control.bindings b WHERE b.did = s.key)
                   WHEN {(short)SeenKind.Controller} THEN (SELECT c.version FROM control.controllers c WHERE c.controller_did = s.key)
                   WHEN {(short)SeenKind.Alias} THEN (SELECT a.version FROM control.aliases a WHERE a.role = 1 AND a.controller_did = '' AND a.from_did = s.key)
                   WHEN {(short)SeenKind.Import} THEN (SELECT i.version FROM control.imports i WHERE i.bundle_hash = s.key)
                 END, 0)
        )
        """;

    public static void AddParameters(NpgsqlBatchCommand command, IEnumerable<(int Ordinal, Seen Seen)> conditions)
    {
        var all = conditions.ToList();
        Add(NpgsqlDbType.Integer, all.Select(c => c.Ordinal).ToArray());
        Add(NpgsqlDbType.Smallint, all.Select(c => (short)c.Seen.Kind).ToArray());
        Add(NpgsqlDbType.Text, all.Select(c => c.Seen.Key).ToArray());
        Add(NpgsqlDbType.Bigint, all.Select(c => c.Seen.Version).ToArray());

        void Add(NpgsqlDbType type, object values) => command.Parameters.Add(new() { Value = values, NpgsqlDbType = NpgsqlDbType.Array | type });
    }
}
