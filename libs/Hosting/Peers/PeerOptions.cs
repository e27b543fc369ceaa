namespace ClawBureau.Hosting.Peers;

/// <summary>How a process calls another one.</summary>
public sealed class PeerOptions
{
    /// <summary>PEM file of the only CA whose server certificates are trusted. Required for https.</summary>
    public string? CaFile { get; init; }

    /// <summary>PEM certificate this process shows; with <see cref="ClientKeyFile"/>. Read again when the file changes.</summary>
    public string? ClientCertFile { get; init; }

    public string? ClientKeyFile { get; init; }

    /// <summary>Sent as <c>authorization</c> with calls that bring no such metadata themselves.</summary>
    public string? AdminKey { get; init; }

    /// <summary>Admits http to loopback addresses. Default false.</summary>
    public bool AllowPlaintext { get; init; }

    /// <summary>Default 5 s; then the call fails with PEER_UNAVAILABLE.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>For unary calls that bring no deadline. Default 10 s. Streams have none.</summary>
    public TimeSpan UnaryDeadline { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The largest answer taken. Default 1 MiB.</summary>
    public int MaxMessageBytes { get; init; } = 1024 * 1024;
}
