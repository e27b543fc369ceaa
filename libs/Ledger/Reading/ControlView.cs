using Npgsql;

namespace ClawBureau.Ledger.Reading;

/// <summary>
/// Everything that can deny a mint to a group or controller, as of one control_seq: blocks, cuts and controllers that may
/// not act. A mint judged by it need not be judged again while the head still has that control_seq.
/// </summary>
public sealed class ControlView
{
    private readonly HashSet<GroupKey> _blocked = [];
    private readonly Dictionary<GroupKey, long> _cuts = [];
    private readonly HashSet<string> _halted = new(StringComparer.Ordinal);

    private ControlView(long controlSeq) => ControlSeq = controlSeq;

    public long ControlSeq { get; }

    /// <summary>The first blocked group, if any.</summary>
    public GroupKey? BlockedOf(IEnumerable<GroupKey> groups)
    {
        foreach (var group in groups)
            if (_blocked.Contains(group)) return group;
        return null;
    }

    /// <summary>A token of these groups needs an iat greater than this; 0 when no cut applies.</summary>
    public long CutOf(IEnumerable<GroupKey> groups)
    {
        long cut = 0;
        foreach (var group in groups)
            if (_cuts.TryGetValue(group, out long at)) cut = Math.Max(cut, at);
        return cut;
    }

    /// <summary>True while the controller is frozen or inactive.</summary>
    public bool IsHalted(string controllerDid) => _halted.Contains(controllerDid);

    /// <summary>Reads the view in one snapshot.</summary>
    public static async Task<ControlView> ReadAsync(NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        // One statement, one snapshot: the numbers and the rows belong together.
        await using var command = database.CreateCommand("""
            SELECT h.control_seq, x.what, x.kind, x.group_key, x.cut, x.controller_did
              FROM ledger.head h
              LEFT JOIN (
                SELECT 1 AS what, kind, group_key, CASE WHEN blocked THEN NULL ELSE cut END AS cut, NULL::text AS controller_did FROM ledger.blocked_groups
                UNION ALL
                SELECT 2, NULL, NULL, NULL, controller_did FROM control.controllers WHERE frozen OR NOT active
              ) x ON true
            """);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        ControlView? view = null;
        while (await reader.ReadAsync(cancellationToken))
        {
            view ??= new ControlView(reader.GetInt64(0));
            if (reader.IsDBNull(1)) continue;
            if (reader.GetInt32(1) == 2)
            {
                view._halted.Add(reader.GetString(5));
                continue;
            }
            var group = GroupKey.FromHash((RevocationKind)reader.GetInt16(2), reader.GetFieldValue<byte[]>(3));
            if (reader.IsDBNull(4)) view._blocked.Add(group);
            else view._cuts[group] = reader.GetInt64(4);
        }
        return view ?? throw new InvalidOperationException("ledger.head has no row");
    }
}
