using System.Globalization;
using ClawBureau.Hosting.Peers;
using ClawBureau.Stack;
using Npgsql;

namespace ClawBureau.Suite.Tests;

/// <summary>`claw up --detach` with two Issuers and two Introspectors, as a person starts it, and `claw down` at the end.</summary>
public sealed class DetachedStack : IAsyncLifetime
{
    private readonly List<PeerChannel> _channels = [];

    internal string State { get; } = Directory.CreateTempSubdirectory("claw-up-test-").FullName;
    internal int PortBase { get; } = PortBases.Free();
    internal Ran Up { get; private set; } = null!;

    /// <summary>As it is now: what was started again has another id.</summary>
    internal StackDescription Described => StackDescription.Read(State) ?? throw new InvalidOperationException($"no stack is described in {State}");

    public async Task InitializeAsync()
    {
        Up = await Claw.RunAsync(
            ["up", "--detach", "--edge-http", "--replicas", "issuer=2,introspector=2", "--port-base", PortBase.ToString(CultureInfo.InvariantCulture), "--state", State],
            new Dictionary<string, string?> { ["SCOPE_VERSION"] = "9.9.9-suite", ["SCOPE_PROTECTED_AUTH_MODE"] = "admin_token" });
        if (Up.Code != 0) throw new InvalidOperationException(Up.All);
    }

    public async Task DisposeAsync()
    {
        foreach (var channel in _channels) channel.Dispose();
        var down = await Claw.RunAsync("down", "--state", State);
        Directory.Delete(State, recursive: true);
        if (down.Code != 0) throw new InvalidOperationException(down.All);
    }

    /// <summary>All replicas of a service, as a peer reaches them.</summary>
    internal PeerChannel Channel(string member)
    {
        var described = Described;
        var channel = PeerChannel.Create(
            new PeerAddresses([.. described.Services[member].Select(p => p.Url)]), new PeerOptions { CaFile = described.CaFile, AdminKey = File.ReadAllText(described.AdminKeyFile).Trim() });
        lock (_channels) _channels.Add(channel);
        return channel;
    }

    internal async Task<NpgsqlConnection> OpenAdminAsync()
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(Described.Database) { Pooling = false }.ConnectionString);
        await connection.OpenAsync();
        return connection;
    }
}

/// <summary>That one stack, for every test that is about what `claw up` does.</summary>
[CollectionDefinition(Name)]
public sealed class SharedDetachedStack : ICollectionFixture<DetachedStack>
{
    public const string Name = "one detached stack";
}
