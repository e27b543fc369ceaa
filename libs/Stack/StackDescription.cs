using System.Text.Encodings.Web;
using System.Text.Json;

namespace ClawBureau.Stack;

/// <summary>A process of a running stack.</summary>
internal sealed record DescribedProcess(Uri Url, int Pid);

/// <summary>stack.json: what runs where, for the command and for scripts. Whoever can read it can do everything with the stack.</summary>
internal sealed record StackDescription
{
    private const int Version = 1;
    private static readonly JsonSerializerOptions Format = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The folder of the stack.</summary>
    public required string State { get; init; }

    /// <summary>Member of a service (`audit_sink`) to its processes.</summary>
    public required IReadOnlyDictionary<string, IReadOnlyList<DescribedProcess>> Services { get; init; }

    public required Uri? EdgeHttp { get; init; }
    public required string CaFile { get; init; }
    public required string AdminKeyFile { get; init; }
    public required string ClientCertFile { get; init; }
    public required string ClientKeyFile { get; init; }

    /// <summary>An administrator's connection string.</summary>
    public required string Database { get; init; }

    /// <summary>Of the Issuers: one seed a file.</summary>
    public string KeyFolder => StackFolder.SigningKeysIn(State);

    public static string FileIn(string state) => Path.Combine(state, "stack.json");

    /// <summary>In place only when complete, and its owner's alone from the first byte.</summary>
    public void Write(string file)
    {
        var members = new Dictionary<string, object?>
        {
            ["version"] = Version,
            ["state"] = State,
            ["services"] = Services.ToDictionary(s => s.Key, s => s.Value.Select(p => new { url = p.Url.ToString(), pid = p.Pid })),
        };
        foreach (var place in Place.All)
        {
            members[place.Member] = Services[place.Member][0].Url.ToString();
            if (place.Name == "edge") members["edge_http"] = EdgeHttp?.ToString();
        }
        members["ca_file"] = CaFile;
        members["admin_key_file"] = AdminKeyFile;
        members["client_cert_file"] = ClientCertFile;
        members["client_key_file"] = ClientKeyFile;
        members["database"] = Database;
        PrivateFile.Write(file, JsonSerializer.Serialize(members, Format) + "\n");
    }

    /// <returns>Null where no stack is described.</returns>
    /// <exception cref="StackException">The file is no description of this version.</exception>
    public static StackDescription? Read(string state)
    {
        var file = FileIn(state);
        string text;
        try
        {
            text = File.ReadAllText(file);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        try
        {
            using var document = JsonDocument.Parse(text);
            var root = document.RootElement;
            if (root.GetProperty("version").GetInt32() != Version) throw new FormatException("its version is another one");
            return new StackDescription
            {
                State = Text("state"),
                Services = root.GetProperty("services").EnumerateObject().ToDictionary(s => s.Name, s => (IReadOnlyList<DescribedProcess>)
                    [.. s.Value.EnumerateArray().Select(p => new DescribedProcess(new Uri(p.GetProperty("url").GetString()!), p.GetProperty("pid").GetInt32()))]),
                EdgeHttp = root.GetProperty("edge_http").GetString() is { } plain ? new Uri(plain) : null,
                CaFile = Text("ca_file"),
                AdminKeyFile = Text("admin_key_file"),
                ClientCertFile = Text("client_cert_file"),
                ClientKeyFile = Text("client_key_file"),
                Database = Text("database"),
            };

            string Text(string name) => root.GetProperty(name).GetString() ?? throw new FormatException($"{name} is null");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException or ArgumentNullException)
        {
            throw new StackException($"{file} does not describe a stack of this version: choose another folder with --state, or start the stack anew.", e);
        }
    }
}
