namespace ClawBureau.Stack;

/// <summary>
/// A service of the suite as a local stack runs it. A line in <see cref="All"/> is all it takes: certificate, port, peers,
/// database, health and the line in stack.json follow from it.
/// </summary>
/// <param name="Service">Its project, such as <c>AuditSink</c>.</param>
/// <param name="Name">Of its certificate, its processes and its log files: <c>audit-sink</c>.</param>
/// <param name="Number">Port = base + 10 · number + replica.</param>
internal sealed record Place(string Service, string Name, int Number)
{
    /// <summary>The Edge's plain listener: base + this.</summary>
    public const int PlainHttpOffset = 5;

    /// <summary>So that no replica's port is another's, nor the plain listener's.</summary>
    public const int MostReplicas = 5;

    /// <summary>In the order of their ports.</summary>
    public static IReadOnlyList<Place> All { get; } =
    [
        new("Edge", "edge", 0) { Peers = ["issuer", "introspector", "verifier", "audit-sink"] },
        new("Issuer", "issuer", 1) { Peers = ["audit-sink"], Database = access => ("CLAW_DATABASE_ISSUER", access.Issuer) },
        new("Introspector", "introspector", 2) { Database = access => ("CLAW_DATABASE_INTROSPECTOR", access.Introspector) },
        new("Verifier", "verifier", 3) { Peers = ["issuer", "introspector"] },
        new("AuditSink", "audit-sink", 4) { Peers = ["introspector"], Database = access => ("CLAW_DATABASE_AUDIT", access.Audit) },
    ];

    /// <summary>What an Introspector calls that follows others.</summary>
    public static IReadOnlyList<string> RelayPeers { get; } = ["issuer", "introspector"];

    /// <summary>Names of the services it calls.</summary>
    public IReadOnlyList<string> Peers { get; private init; } = [];

    /// <summary>The variable with the connection string of its role; null: it touches no database.</summary>
    public Func<DatabaseAccess, (string Variable, string Connection)>? Database { get; private init; }

    /// <summary>As stack.json calls it: <c>audit_sink</c>.</summary>
    public string Member => Name.Replace('-', '_');

    /// <summary>Where others are told its addresses: <c>CLAW_AUDIT_SINK</c>.</summary>
    public string PeerVariable => "CLAW_" + Member.ToUpperInvariant();

    public static IReadOnlyList<string> Names { get; } = [.. All.Select(place => place.Name)];
}
