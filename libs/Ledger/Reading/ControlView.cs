using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Ledger.Reading;

/// <summary>
/// Everything that control acts can deny a mint by, as of one control_seq: blocks, cuts, controllers that may not act, keys
/// that may sign, the policy version. A mint judged by it need not be judged again while the head still has that control_seq.
/// </summary>
public sealed class ControlView
{
    private readonly HashSet<GroupKey> _blocked = [];
    private readonly Dictionary<GroupKey, long> _cuts = [];
    private readonly HashSet<string> _halted = new(StringComparer.Ordinal);
    private readonly Dictionary<KeyId, (KeyState State, long? NotAfter)> _keys = [];

    private ControlView(long controlSeq) => ControlSeq = controlSeq;

    public long ControlSeq { get; }

    /// <summary>The current policy in the ledger; null when none was ever put.</summary>
    public string? PolicyVersion { get; private set; }

    public bool IsBlocked(GroupKey group) => _blocked.Contains(group);

    /// <summary>The one key that signs; null: none does.</summary>
    public KeyId? ActiveKey { get; private set; }

    public bool MaySign(KeyId keyId) => ActiveKey == keyId;

    /// <summary>True while tokens under this key are accepted; <paramref name="now"/> in epoch seconds.</summary>
    public bool Accepts(KeyId keyId, long now) => _keys.TryGetValue(keyId, out var key) && !(key.NotAfter < now);

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
            SELECT h.control_seq, (SELECT version FROM policy.versions ORDER BY seq DESC LIMIT 1), x.what, x.kind, x.group_key, x.blocked, x.cut, x.name
              FROM ledger.head h
              LEFT JOIN (
                SELECT 1 AS what, kind, group_key, blocked, cut, NULL::text AS name FROM ledger.blocked_groups
                UNION ALL
                SELECT 2, NULL, NULL, NULL, NULL, controller_did FROM control.controllers WHERE frozen OR NOT active
                UNION ALL
                SELECT 3, state, NULL, NULL, not_after, kid FROM ledger.keys WHERE state <> $1
              ) x ON true
            """);
        command.Parameters.Add(new() { Value = (short)KeyState.Retired });
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        ControlView? view = null;
        while (await reader.ReadAsync(cancellationToken))
        {
            view ??= new ControlView(reader.GetInt64(0)) { PolicyVersion = reader.IsDBNull(1) ? null : reader.GetString(1) };
            switch (reader.IsDBNull(2) ? 0 : reader.GetInt32(2))
            {
                case 1:
                    var group = GroupKey.FromHash((RevocationKind)reader.GetInt16(3), reader.GetFieldValue<byte[]>(4));
                    if (reader.GetBoolean(5)) view._blocked.Add(group);
                    if (reader.GetInt64(6) > 0) view._cuts[group] = reader.GetInt64(6);
                    break;
                case 2:
                    view._halted.Add(reader.GetString(7));
                    break;
                case 3:
                    var (keyId, state) = (KeyId.Parse(reader.GetString(7)), (KeyState)reader.GetInt16(3));
                    view._keys.Add(keyId, (state, reader.IsDBNull(6) ? null : reader.GetInt64(6)));
                    if (state == KeyState.Active) view.ActiveKey = keyId;
                    break;
            }
        }
        return view ?? throw new InvalidOperationException("ledger.head has no row");
    }
}
