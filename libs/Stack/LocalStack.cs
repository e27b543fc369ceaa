using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ClawBureau.Hosting.Keys;
using ClawBureau.Hosting.Peers;
using ClawBureau.Hosting.Tls;
using ClawBureau.Ledger;
using ClawBureau.Tokens;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace ClawBureau.Stack;

/// <summary>
/// The suite on one machine: PostgreSQL, a development CA, an admin key, a signing key, and each service as a process of its
/// own, the way it runs anywhere else.
/// </summary>
internal sealed class LocalStack : IAsyncDisposable
{
    /// <summary>What opens the Edge's protected routes unless the caller's environment says otherwise: a canonical token, as anywhere else.</summary>
    private const string DefaultProtectedAuth = "canonical_cst";
    private const string ProtectedAuthVariable = "SCOPE_PROTECTED_AUTH_MODE";

    private readonly Lock _describing = new();      // one description at a time
    private readonly StackFolder _folder;
    private readonly PostgresServer _postgres;
    private readonly string? _databaseToDrop;
    private string _protectedAuth = DefaultProtectedAuth;

    private LocalStack(StackFolder folder, PostgresServer postgres, string? databaseToDrop, DatabaseAccess access, string adminKey)
    {
        (_folder, _postgres, _databaseToDrop, Database, AdminKey) = (folder, postgres, databaseToDrop, access, adminKey);
        Peer = new PeerOptions { CaFile = CaFile, AdminKey = adminKey };
    }

    public DatabaseAccess Database { get; }
    public PostgresServer Postgres => _postgres;
    public string StateFolder => _folder.Path;
    public IReadOnlyList<ServiceInstance> Services { get; private set; } = [];

    /// <summary>How a person's client speaks to this stack.</summary>
    public PeerOptions Peer { get; }
    public string AdminKey { get; }
    public string CaFile => Path.Combine(_folder.Certificates, "ca.crt");

    /// <summary>The first Edge's plain listener; null: it has none.</summary>
    public Uri? EdgeHttp { get; private set; }

    public ServiceInstance Edge => First("edge");
    public ServiceInstance Issuer => First("issuer");
    public ServiceInstance Introspector => First("introspector");

    /// <summary>The first process of a service.</summary>
    public ServiceInstance First(string name) => Services.First(s => s.Place.Name == name);

    /// <summary>Introspectors that follow others.</summary>
    public IEnumerable<ServiceInstance> Relays => Services.Where(s => s.Upstream is not null);

    public IEnumerable<ServiceInstance> All(string name) => Services.Where(s => s.Place.Name == name);

    /// <summary>Brings the stack up; when this returns, every service serves.</summary>
    /// <param name="report">Told of each part as it stands.</param>
    /// <exception cref="StackException">Something on this machine is missing; the sentence says what to do.</exception>
    public static async Task<LocalStack> StartAsync(StackOptions options, Action<string> report, CancellationToken cancellationToken)
    {
        var folder = options.StateFolder is { } path ? StackFolder.Open(path) : StackFolder.CreateTemporary();
        PostgresServer? postgres = null;
        LocalStack? stack = null;
        // Certificates do not wait for the database, nor it for them.
        var certificates = DevelopmentCa.EnsureAsync(folder.Certificates, [.. Place.Names, "operator"], TimeProvider.System, cancellationToken);
        try
        {
            postgres = await PostgresServer.FindAsync(folder.Path, options.Database, options.Durable, cancellationToken);
            report($"database   {postgres.Description}");
            var (access, toDrop) = await PrepareDatabaseAsync(postgres, folder, cancellationToken);
            stack = new LocalStack(folder, postgres, toDrop, access, EnsureAdminKey(folder));
            EnsureSigningKey(folder);
            await certificates;
            report($"identity   development CA {stack.CaFile}");
            stack.StartServices(options);
            await Task.WhenAll(stack.Services.Select(s => s.WaitUntilServingAsync(stack.Peer, TimeSpan.FromSeconds(60), cancellationToken)));
            foreach (var service in stack.Services) report(stack.LineOf(service));
            stack.Describe();
            return stack;
        }
        catch
        {
            await ((Task)certificates).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);       // it still writes into the folder
            if (stack is not null) await stack.DisposeAsync();
            else
            {
                if (postgres is not null) await postgres.DisposeAsync();
                folder.Release();
            }
            throw;
        }
    }

    /// <summary>Makes what services need before they start, in a folder where no stack runs; what is there is kept.</summary>
    /// <exception cref="StackException">A stack runs there, or the folder cannot be used.</exception>
    public static async Task PrepareAsync(string path, CancellationToken cancellationToken)
    {
        var folder = StackFolder.Open(path);
        try
        {
            await DevelopmentCa.EnsureAsync(folder.Certificates, [.. Place.Names, "operator"], TimeProvider.System, cancellationToken);
            EnsureAdminKey(folder);
            EnsureSigningKey(folder);
        }
        finally
        {
            folder.Release();
        }
    }

    /// <summary>Writes stack.json anew: what runs where, for the command and for scripts. Mode 0600.</summary>
    public void Describe()
    {
        lock (_describing)
        {
            new StackDescription
            {
                State = _folder.Path,
                Services = Services.GroupBy(s => s.Place.Member).ToDictionary(g => g.Key, g => (IReadOnlyList<DescribedProcess>)[.. g.Select(s => new DescribedProcess(s.Address, s.Process.Id))]),
                EdgeHttp = EdgeHttp,
                CaFile = CaFile,
                AdminKeyFile = Path.Combine(_folder.Secrets, "admin.key"),
                ClientCertFile = Path.Combine(_folder.Certificates, "operator.crt"),
                ClientKeyFile = Path.Combine(_folder.Certificates, "operator.key"),
                Database = Database.Admin,
            }.Write(_folder.Description);
        }
    }

    /// <summary>One line of the table of what runs where.</summary>
    public string LineOf(ServiceInstance service)
    {
        var line = $"{service.Name,-14} {service.Address} pid {service.Process.Id}";
        if (service.Upstream is { } upstream) return line + $", relay of {upstream}";
        if (service.Place.Name != "edge") return line;
        if (service.Replica == 0 && EdgeHttp is { } plain) line += $", plain HTTP {plain}";
        return line + $", {ProtectedAuthVariable}={_protectedAuth}";
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(Services.Select(s => Task.Run(s.Dispose)));
        NpgsqlConnection.ClearAllPools();
        try
        {
            if (_databaseToDrop is not null) await DropAsync(_postgres, _databaseToDrop);
        }
        finally
        {
            await _postgres.DisposeAsync();
            _folder.Release();
        }
    }

    /// <summary>
    /// A private cluster comes migrated. On a server somebody else runs, a temporary stack gets a database of its own, and the
    /// roles' passwords are the operator's business.
    /// </summary>
    private static async Task<(DatabaseAccess Access, string? ToDrop)> PrepareDatabaseAsync(PostgresServer postgres, StackFolder folder, CancellationToken cancellationToken)
    {
        switch (postgres)
        {
            case LocalPostgres:
                await DatabaseAccess.SetPasswordsAsync(postgres, cancellationToken);
                return (DatabaseAccess.Of(postgres, PostgresServer.Database), null);
            case ExternalPostgres:
                try
                {
                    return await PrepareForeignAsync(postgres, folder, cancellationToken);
                }
                catch (NpgsqlException e)
                {
                    throw new StackException($"{postgres.Description} cannot be used ({e.Message}): start that server, or correct CLAW_DATABASE, or unset it to have a server of the stack's own.", e);
                }
            default:
                await ExecuteAsync(postgres.Admin, $"CREATE DATABASE {PostgresServer.Database}", cancellationToken);
                await MigrateAsync(postgres, PostgresServer.Database, cancellationToken);
                await DatabaseAccess.SetPasswordsAsync(postgres, cancellationToken);
                return (DatabaseAccess.Of(postgres, PostgresServer.Database), null);
        }
    }

    private static async Task<(DatabaseAccess Access, string? ToDrop)> PrepareForeignAsync(PostgresServer postgres, StackFolder folder, CancellationToken cancellationToken)
    {
        var database = folder.IsTemporary
            ? $"claw_{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(6))}"
            : new NpgsqlConnectionStringBuilder(postgres.Admin).Database ?? PostgresServer.Database;
        var access = new DatabaseAccess(postgres.AdminOf(database), Given("ISSUER"), Given("INTROSPECTOR"), Given("AUDIT"));
        if (folder.IsTemporary) await ExecuteAsync(postgres.Admin, $"CREATE DATABASE {database}", cancellationToken);
        try
        {
            await MigrateAsync(postgres, database, cancellationToken);
        }
        catch when (folder.IsTemporary)
        {
            await DropAsync(postgres, database);
            throw;
        }
        return (access, folder.IsTemporary ? database : null);

        string Given(string service) => Environment.GetEnvironmentVariable($"CLAW_DATABASE_{service}") is { Length: > 0 } connection
            ? new NpgsqlConnectionStringBuilder(connection) { Database = database }.ConnectionString
            : throw new StackException($"CLAW_DATABASE names a server of yours, so its roles' passwords are yours too: set CLAW_DATABASE_{service} as well.");
    }

    private static async Task MigrateAsync(PostgresServer postgres, string database, CancellationToken cancellationToken)
    {
        await using var admin = NpgsqlDataSource.Create(postgres.AdminOf(database));
        await new Migrator(admin, NullLogger.Instance).MigrateAsync(cancellationToken);
    }

    private static Task DropAsync(PostgresServer postgres, string database) =>
        ExecuteAsync(postgres.Admin, $"DROP DATABASE IF EXISTS {database} WITH (FORCE)", CancellationToken.None);

    private static string EnsureAdminKey(StackFolder folder)
    {
        var file = Path.Combine(folder.Secrets, "admin.key");
        if (!File.Exists(file)) PrivateFile.Write(file, "clawadm_" + Base64UrlText.Encode(RandomNumberGenerator.GetBytes(32)) + "\n");
        var key = File.ReadAllText(file).Trim();
        PrivateFile.Write(Path.Combine(folder.Secrets, "admin-keys.json"), JsonSerializer.Serialize(new[]
        {
            new { name = "stack", sha256 = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key))), scopes = new[] { "*" } },
        }) + "\n");
        return key;
    }

    private static void EnsureSigningKey(StackFolder folder)
    {
        var keys = new KeyFolder(folder.SigningKeys);
        if (keys.Read().Count == 0) keys.Generate();
    }

    private void StartServices(StackOptions options)
    {
        var places = Place.All.SelectMany(place => Enumerable.Range(0, options.Replicas.GetValueOrDefault(place.Name, 1)).Select(replica => (Place: place, Replica: replica))).ToList();
        // Relays are told of after the Introspectors that they follow, as further ones; nobody here is sent to them.
        var introspectors = places.Where(p => p.Place.Name == "introspector").ToList();
        var relays = Enumerable.Range(introspectors.Count, options.Relays).Select(replica => (introspectors[0].Place, Replica: replica)).ToList();
        places.InsertRange(places.IndexOf(introspectors[^1]) + 1, relays);
        var free = options.PortBase is null ? new Queue<int>(FreePorts(places.Count + 1)) : null;
        var addresses = places.ToDictionary(p => p, p => new Uri($"https://127.0.0.1:{free?.Dequeue() ?? options.PortBase + 10 * p.Place.Number + p.Replica}"));
        if (options.PlainHttp) EdgeHttp = new Uri($"http://127.0.0.1:{free?.Dequeue() ?? options.PortBase + Place.PlainHttpOffset}");
        _protectedAuth = options.Variables.GetValueOrDefault(ProtectedAuthVariable) ?? Environment.GetEnvironmentVariable(ProtectedAuthVariable) ?? DefaultProtectedAuth;

        var services = new List<ServiceInstance>();
        Services = services;        // filled as they start, so that those that did are stopped when another cannot
        foreach (var (place, replica) in places)
        {
            var environment = EnvironmentOf(place, addresses[(place, replica)]);
            bool isRelay = relays.Contains((place, replica));
            foreach (var peers in addresses.Where(a => (isRelay ? Place.RelayPeers : place.Peers).Contains(a.Key.Place.Name) && !relays.Contains(a.Key)).GroupBy(a => a.Key.Place))
                environment[peers.Key.PeerVariable] = string.Join(',', peers.Select(a => a.Value.ToString().TrimEnd('/')));
            if (isRelay)
            {
                environment["CLAW_DATABASE_INTROSPECTOR"] = null;
                environment["CLAW_UPSTREAM"] = environment["CLAW_INTROSPECTOR"];
            }
            if (!isRelay && options.Wire is { } wire && place.Database?.Invoke(Database).Variable is { } database) environment[database] = wire($"{place.Name}-{replica}", environment[database]!);
            if (place.Name == "edge" && replica == 0) environment["CLAW_EDGE_HTTP"] = EdgeHttp?.ToString().TrimEnd('/');
            foreach (var (variable, value) in options.Variables) environment[variable] = value;
            services.Add(new ServiceInstance(place, replica, addresses[(place, replica)], _folder, environment));
        }
    }

    private Dictionary<string, string?> EnvironmentOf(Place place, Uri address)
    {
        var environment = new Dictionary<string, string?>
        {
            ["CLAW_LISTEN"] = address.ToString().TrimEnd('/'),
            ["CLAW_TLS_CERT_FILE"] = Path.Combine(_folder.Certificates, place.Name + ".crt"),
            ["CLAW_TLS_KEY_FILE"] = Path.Combine(_folder.Certificates, place.Name + ".key"),
            ["CLAW_TLS_CA_FILE"] = CaFile,
            ["CLAW_ADMIN_KEYS_FILE"] = Path.Combine(_folder.Secrets, "admin-keys.json"),
            ["CLAW_DATABASE"] = null,           // an administrator's: no service has a use for it
            ["CLAW_DATABASE_ISSUER"] = null,
            ["CLAW_DATABASE_INTROSPECTOR"] = null,
            ["CLAW_DATABASE_AUDIT"] = null,
            ["CLAW_EDGE_HTTP"] = null,
            ["CLAW_UPSTREAM"] = null,
            [ProtectedAuthVariable] = _protectedAuth,
        };
        if (place.Database?.Invoke(Database) is var (variable, connection)) environment[variable] = connection;
        if (place.Name == "issuer")
        {
            environment["CLAW_KEY_FOLDER"] = _folder.SigningKeys;
            // The contract's deployed policy, unless the caller brings his own.
            if (new[] { "SCOPE_POLICY_JSON", "SCOPE_ALLOWED_SCOPES", "SCOPE_ALLOWED_SCOPE_PREFIXES", "SCOPE_ALLOW_ANY" }.All(v => Environment.GetEnvironmentVariable(v) is null))
                environment["SCOPE_ALLOWED_SCOPE_PREFIXES"] = "proxy:,clawproxy:,clawbounties:,clawincome:,control:";
        }
        return environment;
    }

    /// <summary>
    /// From below the range that the system gives to outgoing connections: one of those (a client that tries to reach a service
    /// that is down, for instance) would otherwise now and then hold a port before its service does.
    /// </summary>
    private static List<int> FreePorts(int count)
    {
        var held = new List<TcpListener>();         // all at once, so that none is named twice
        try
        {
            for (int attempt = 0; held.Count < count; attempt++)
            {
                var listener = new TcpListener(IPAddress.Loopback, Random.Shared.Next(20_000, 32_000));
                try
                {
                    listener.Start();
                    held.Add(listener);
                }
                catch (SocketException e)
                {
                    listener.Dispose();
                    if (attempt > 1000) throw new StackException($"No port of 127.0.0.1 can be listened on ({e.Message}): say where with --port-base.", e);
                }
            }
            return [.. held.Select(l => ((IPEndPoint)l.LocalEndpoint).Port)];
        }
        finally
        {
            foreach (var listener in held) listener.Dispose();
        }
    }

    private static async Task ExecuteAsync(string connectionString, string sql, CancellationToken cancellationToken)
    {
        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync(cancellationToken);
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}
