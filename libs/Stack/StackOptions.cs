namespace ClawBureau.Stack;

/// <summary>What a local stack is asked to be.</summary>
internal sealed record StackOptions
{
    /// <summary>Where its state lives; null: a temporary folder that goes with it.</summary>
    public string? StateFolder { get; init; }

    /// <summary>Name of a service (`issuer`) to the number of its processes, 1 to 5; not named: one.</summary>
    public IReadOnlyDictionary<string, int> Replicas { get; init; } = new Dictionary<string, int>();

    /// <summary>Introspectors that follow the others instead of the ledger. With the Introspectors at most 5.</summary>
    public int Relays { get; init; }

    /// <summary>First port; null: whatever is free. Port = base + 10 · service + replica.</summary>
    public int? PortBase { get; init; }

    /// <summary>True: the first Edge also listens for plain HTTP on a loopback address, port base + 5.</summary>
    public bool PlainHttp { get; init; }

    /// <summary>An administrator's connection string; null: this machine's own server (CLAW_DATABASE).</summary>
    public string? Database { get; init; } = System.Environment.GetEnvironmentVariable("CLAW_DATABASE");

    /// <summary>False for test runs: nothing waits for the disk.</summary>
    public bool Durable { get; init; } = true;

    /// <summary>Told the name of a process (`issuer-0`) and its connection string, gives the one it is started with; null: that one. For tests.</summary>
    public Func<string, string, string>? Wire { get; init; }

    /// <summary>More variables for every service; null removes one.</summary>
    public IReadOnlyDictionary<string, string?> Variables { get; init; } = new Dictionary<string, string?>();
}
