using System.Net;

namespace ClawBureau.Hosting.Tls;

/// <summary>One address a process listens on. Names are refused but for localhost: a listener needs an address, not a lookup.</summary>
public sealed record ListenAddress(bool IsHttps, IPAddress Address, int Port)
{
    public bool IsLoopback => IPAddress.IsLoopback(Address);

    /// <param name="text">URLs separated by commas: scheme, IP address (or localhost, or * for any), port; 0 takes a free one.</param>
    /// <exception cref="StartRefused">One of them is no such URL.</exception>
    public static IReadOnlyList<ListenAddress> ParseList(string text) =>
        [.. text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(Parse)];

    public override string ToString() => $"{(IsHttps ? "https" : "http")}://{new IPEndPoint(Address, Port)}";

    private static ListenAddress Parse(string text)
    {
        var separator = text.IndexOf("://", StringComparison.Ordinal);
        var (scheme, rest) = separator < 0 ? ("", text) : (text[..separator], text[(separator + 3)..].TrimEnd('/'));
        var colon = rest.LastIndexOf(':');
        if (scheme is not ("https" or "http") || colon < 0 || AddressOf(rest[..colon]) is not { } address
            || !ushort.TryParse(rest[(colon + 1)..], out var port))
        {
            throw new StartRefused($"CLAW_LISTEN has '{text}': write https://ADDRESS:PORT with an IP address, localhost or *.");
        }
        return new ListenAddress(scheme == "https", address, port);
    }

    private static IPAddress? AddressOf(string host) => host switch
    {
        "localhost" => IPAddress.Loopback,
        "*" => IPAddress.IPv6Any,
        _ => IPAddress.TryParse(host, out var address) ? address : null,
    };
}
