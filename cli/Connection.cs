using System.CommandLine;
using System.Text.Json;
using ClawBureau.Hosting.Peers;

namespace ClawBureau.Cli;

/// <summary>
/// Which stack a verb speaks to: options, else the environment, else the stack.json of a state folder that `claw up` runs in.
/// </summary>
internal sealed class Connection
{
    private readonly Option<string?> _state = new("--state") { Description = "State folder of a running local stack (default .claw/state)." };
    private readonly Option<string?> _address;
    private readonly Option<string?> _ca = new("--ca-file") { Description = "PEM of the CA that signed the service's certificate (CLAW_CA_FILE)." };
    private readonly Option<string?> _key = new("--admin-key-file") { Description = "File with the admin key (CLAW_ADMIN_KEY_FILE)." };
    private readonly string _service;

    /// <param name="service">issuer or introspector.</param>
    public Connection(string service)
    {
        _service = service;
        _address = new Option<string?>("--" + service) { Description = $"Address of the {service}, https://host:port (CLAW_{service.ToUpperInvariant()})." };
    }

    public static string DefaultStateFolder => Path.Combine(".claw", "state");

    public void AddTo(Command command)
    {
        command.Options.Add(_state);
        command.Options.Add(_address);
        command.Options.Add(_ca);
        command.Options.Add(_key);
    }

    /// <exception cref="UsageException">Nothing says where the service is.</exception>
    public PeerChannel Open(ParseResult parsed)
    {
        var described = ReadDescription(parsed.GetValue(_state) ?? DefaultStateFolder);
        var address = parsed.GetValue(_address) ?? Environment.GetEnvironmentVariable("CLAW_" + _service.ToUpperInvariant()) ?? described?[_service]
            ?? throw new UsageException($"No {_service} to speak to: start a stack with `claw up`, or say --{_service} https://host:port (CLAW_{_service.ToUpperInvariant()}).");
        var keyFile = parsed.GetValue(_key) ?? Environment.GetEnvironmentVariable("CLAW_ADMIN_KEY_FILE") ?? described?["admin_key_file"];
        if (!Uri.TryCreate(address, UriKind.Absolute, out var uri)) throw new UsageException($"--{_service}: '{address}' is no address; it looks like https://host:port.");
        if (keyFile is not null && !File.Exists(keyFile)) throw new UsageException($"The admin key file {keyFile} does not exist.");
        return PeerChannel.Create(uri, new PeerOptions
        {
            CaFile = parsed.GetValue(_ca) ?? Environment.GetEnvironmentVariable("CLAW_CA_FILE") ?? described?["ca_file"],
            AdminKey = keyFile is null ? null : File.ReadAllText(keyFile).Trim(),
        });
    }

    private static Dictionary<string, string>? ReadDescription(string state)
    {
        var file = Path.Combine(state, "stack.json");
        if (!File.Exists(file)) return null;
        using var document = JsonDocument.Parse(File.ReadAllText(file));
        return document.RootElement.EnumerateObject()
            .Where(m => m.Value.ValueKind == JsonValueKind.String)
            .ToDictionary(m => m.Name, m => m.Value.GetString()!, StringComparer.Ordinal);
    }
}
