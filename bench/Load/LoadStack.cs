using ClawBureau.Hosting.Peers;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Stack;
using Grpc.Core;
using Grpc.Health.V1;

namespace ClawBureau.Load;

/// <summary>A stack of its own for the run, durable as in operation, and connections to it.</summary>
internal sealed class LoadStack : IAsyncDisposable
{
    // Fewer than the 100 streams that a connection may have.
    private const int CallsPerConnection = 16;

    private readonly List<PeerChannel> _channels = [];

    private LoadStack(LocalStack stack) => Stack = stack;

    public LocalStack Stack { get; }

    /// <param name="keepsAudit">False: acts are not relayed to the AuditSink, which would work for minutes at a million of them.</param>
    public static async Task<LoadStack> StartAsync(Action<string> report, CancellationToken cancellationToken, bool keepsAudit = true)
    {
        var variables = new Dictionary<string, string?> { ["CLAW_MAX_CONNECTIONS"] = "20000" };
        if (!keepsAudit) variables["CLAW_AUDIT_SINK"] = null;
        return new(await LocalStack.StartAsync(new StackOptions { Durable = true, Variables = variables }, report, cancellationToken));
    }

    /// <summary>As many connections as so many clients need; a client keeps to one.</summary>
    public Func<int, CallInvoker> Connect(ServiceInstance service, int clients)
    {
        var channels = Enumerable.Range(0, (clients + CallsPerConnection - 1) / CallsPerConnection).Select(_ => Open(service)).ToArray();
        return client => channels[client % channels.Length].Calls;
    }

    /// <summary>A connection of its own, closed with the stack.</summary>
    /// <param name="caller">The service whose certificate is shown; null: the operator's key is.</param>
    public PeerChannel Open(ServiceInstance service, string? caller = null)
    {
        var certificates = Path.GetDirectoryName(Stack.CaFile)!;
        var channel = PeerChannel.Create(service.Address, new PeerOptions
        {
            CaFile = Stack.CaFile,
            AdminKey = caller is null ? Stack.AdminKey : null,
            ClientCertFile = caller is null ? null : Path.Combine(certificates, caller + ".crt"),
            ClientKeyFile = caller is null ? null : Path.Combine(certificates, caller + ".key"),
            UnaryDeadline = TimeSpan.FromSeconds(60),
            MaxMessageBytes = 16 << 20,
            ConnectTimeout = TimeSpan.FromSeconds(60),
        });
        lock (_channels) _channels.Add(channel);
        return channel;
    }

    /// <summary>CPU of the database server and its sessions so far; null where the system does not tell, or the server is not the stack's own.</summary>
    public TimeSpan? DatabaseCpu() => Stack.Postgres is LocalPostgres { ProcessId: var id } ? ProcessTree.CpuOf(id) : null;

    public void Close(PeerChannel channel)
    {
        lock (_channels) _channels.Remove(channel);
        channel.Dispose();
    }

    /// <summary>
    /// The least a unary call to this process costs: grpc.health.v1 Check, an empty request, two bytes of answer from memory. Everything around a
    /// call is the same as around the others: TLS, HTTP/2, deadline, call id, trace, caller gate.
    /// </summary>
    public Side Empty(ServiceInstance service, int clients)
    {
        var connect = Connect(service, clients);
        var calls = Enumerable.Range(0, clients).Select(client => new Health.HealthClient(connect(client))).ToArray();
        var request = new HealthCheckRequest();
        return new Side($"empty unary c={clients}", async client =>
        {
            await calls[client].CheckAsync(request);
            return 1;
        }, clients, service.Process);
    }

    /// <summary>Tokens as an OpenClaw plugin would hold them.</summary>
    public async Task<string[]> IssueAsync(int count, CancellationToken cancellationToken)
    {
        var connect = Connect(Stack.Issuer, 32);
        var tokens = new string[count];
        await Parallel.ForAsync(0, count, new ParallelOptions { MaxDegreeOfParallelism = 32, CancellationToken = cancellationToken }, async (i, token) =>
            tokens[i] = (await new IssuanceService.IssuanceServiceClient(connect(i)).IssueTokenAsync(Request(), cancellationToken: token)).Token);
        return tokens;
    }

    public static IssueTokenRequest Request() => new()
    {
        Sub = "did:key:z6MkexUHYgwzaCh2sFFQtiZW9TenLJ34wmk5CqDUSX9HPEcC",
        Aud = new Audience { Values = { "clawproxy.example" } },
        Scope = { "clawproxy:call" },
        MissionId = "agent:main:dm:whatsapp:+15551234567",
        // As long as the policy allows: none expires while it is measured.
        Ttl = new() { Seconds = 3600 },
    };

    public async ValueTask DisposeAsync()
    {
        PeerChannel[] channels;
        lock (_channels) channels = [.. _channels];
        foreach (var channel in channels) channel.Dispose();
        await Stack.DisposeAsync();
    }
}
