namespace ClawBureau.Hosting.Peers;

/// <summary>Where a peer is: the https address of each of its replicas.</summary>
public sealed record PeerAddresses
{
    /// <param name="all">At least one.</param>
    public PeerAddresses(params IReadOnlyList<Uri> all) => All = all.Count > 0 ? all : throw new ArgumentException("Name an address.", nameof(all));

    public IReadOnlyList<Uri> All { get; }

    /// <summary>Reads a variable such as <c>CLAW_ISSUER</c>: one address, or several separated by commas.</summary>
    /// <returns>Null when it is not set.</returns>
    /// <exception cref="StartRefused">One of them is no https address.</exception>
    public static PeerAddresses? Read(Settings settings, string name) => settings.Text(name) is { } text ? Parse(name, text) : null;

    /// <summary>The same for a peer without which a process cannot work.</summary>
    /// <param name="settings">Of the process.</param>
    /// <param name="name">The variable.</param>
    /// <param name="remedy">What to set it to, as the end of a sentence: "to the Issuer's address, such as …".</param>
    /// <exception cref="StartRefused">It is not set, or one of them is no https address.</exception>
    public static PeerAddresses Require(Settings settings, string name, string remedy) => Parse(name, settings.Required(name, remedy));

    public override string ToString() => string.Join(", ", All);

    private static PeerAddresses Parse(string name, string text) => new(
    [
        .. text.Split(',', StringSplitOptions.TrimEntries).Select(part => Uri.TryCreate(part, UriKind.Absolute, out var address) && address.Scheme == Uri.UriSchemeHttps
            ? address
            : throw new StartRefused($"{name} is '{text}': set it to an https address, or to those of several replicas with commas between.")),
    ]);
}
