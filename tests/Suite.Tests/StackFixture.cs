using ClawBureau.Hosting.Peers;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Stack;
using Npgsql;

// Every test here has a stack or two of five processes: one after the other they are faster, and none disturbs another's timing.
[assembly: CollectionBehavior(DisableTestParallelization = true)]

namespace ClawBureau.Suite.Tests;

/// <summary>A stack that the tests of a class share.</summary>
public class StackFixture : IAsyncLifetime
{
    private readonly List<PeerChannel> _channels = [];
    private LocalStack? _stack;

    internal LocalStack Stack => _stack!;

    internal virtual StackOptions Options => new()
    {
        Database = null,
        Durable = false,
        PlainHttp = true,
        Variables = new Dictionary<string, string?> { ["SCOPE_PROTECTED_AUTH_MODE"] = "admin_token" },      // what curl and the plugin show
    };

    public virtual async Task InitializeAsync() => _stack = await LocalStack.StartAsync(Options, _ => { }, CancellationToken.None);

    public virtual async Task DisposeAsync()
    {
        foreach (var channel in _channels) channel.Dispose();
        if (_stack is not null) await _stack.DisposeAsync();
    }

    internal PeerChannel Channel(ServiceInstance service)
    {
        var channel = PeerChannel.Create(service.Address, Stack.Peer);
        lock (_channels) _channels.Add(channel);
        return channel;
    }

    internal IssuanceService.IssuanceServiceClient Issuance => new(Channel(Stack.Issuer).Calls);
    internal RevocationService.RevocationServiceClient Revocation => new(Channel(Stack.Issuer).Calls);
    internal IntrospectionService.IntrospectionServiceClient Introspection => new(Channel(Stack.Introspector).Calls);

    /// <summary>A superuser's connection to the ledger's database.</summary>
    internal async Task<NpgsqlConnection> OpenAdminAsync()
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(Stack.Database.Admin) { Pooling = false }.ConnectionString);
        await connection.OpenAsync();
        return connection;
    }

    /// <summary>What an OpenClaw plugin asks for.</summary>
    internal static IssueTokenRequest Request(string idempotencyKey) => new()
    {
        Sub = "did:key:z6MkexUHYgwzaCh2sFFQtiZW9TenLJ34wmk5CqDUSX9HPEcC",
        Aud = new Audience { Values = { "clawproxy.example" } },
        Scope = { "clawproxy:call" },
        MissionId = "agent:main:dm:whatsapp:+15551234567",
        IdempotencyKey = idempotencyKey,
    };
}

/// <summary>The stack of the tests that change nothing others would notice.</summary>
[CollectionDefinition(Name)]
public sealed class SharedStack : ICollectionFixture<StackFixture>
{
    public const string Name = "one stack";
}
