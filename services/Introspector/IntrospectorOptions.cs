using System.Text.Json;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Peers;

namespace ClawBureau.Introspector;

/// <summary>What an Introspector is told at start.</summary>
public sealed class IntrospectorOptions
{
    /// <summary>CLAW_DATABASE_INTROSPECTOR: the ledger's primary as role claw_introspector. Required, except of a relay, which has none.</summary>
    public string? Database { get; init; }

    /// <summary>
    /// CLAW_UPSTREAM: https address of the Introspector that this one follows instead of a ledger, or of its replicas with commas between: a
    /// relay. Default none.
    /// </summary>
    public PeerAddresses? Upstream { get; init; }

    /// <summary>CLAW_ISSUER: where a relay has the keys from. Required with CLAW_UPSTREAM.</summary>
    public PeerAddresses? Issuer { get; init; }

    /// <summary>How long upstream, or the Issuer, may take to answer; then it is PEER_UNAVAILABLE. 2 s.</summary>
    public TimeSpan UpstreamDeadline { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long one read of the ledger may take. 500 ms; then its connection is dropped and its waiters get LEDGER_UNAVAILABLE.</summary>
    public TimeSpan PollDeadline { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How long the primary's beat may stand still before nothing is answered any more. 2 s.</summary>
    public TimeSpan MostSilence { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Pause between reads while somebody watches; a fifth of it within a second of a revocation. 5 ms: what the first waits at most before it is sent.</summary>
    public TimeSpan WatchPause { get; init; } = TimeSpan.FromMilliseconds(5);

    /// <summary>Pause between reads while nobody watches. 500 ms; introspections read on their own account.</summary>
    public TimeSpan IdlePause { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>CLAW_FEED_HEARTBEAT_SECONDS: a watcher hears something at least this often. Default 1 s.</summary>
    public TimeSpan Heartbeat { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>CLAW_FEED_LEASE_SECONDS: how long a follower may decide by itself after a renewal, counted from its t0. Default 3 s.</summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>How long one frame may take to leave before its subscriber is cut off. 5 s.</summary>
    public TimeSpan MostSendTime { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Revocations kept in memory for watchers; older ones come from the database. 65,536.</summary>
    public int RingSize { get; init; } = 65_536;

    /// <summary>CLAW_FEED_MAX_SUBSCRIBERS: watchers at one time. Default 20,000.</summary>
    public int MostSubscribers { get; init; } = 20_000;

    /// <summary>CLAW_FEED_MAX_SNAPSHOTS: snapshots under way at one time; further ones get RATE_LIMITED. Default 8.</summary>
    public int MostSnapshots { get; init; } = 8;

    /// <summary>SCOPE_INTROSPECT_AUTH: public, as the contract has it, or required: then the Edge has to bring a credential.</summary>
    public bool IsIntrospectionPublic { get; init; } = true;

    /// <summary>SCOPE_INTROSPECT_RATE: introspections a second for callers without a credential, all of them together. Default 10,000; bursts of two seconds' worth.</summary>
    public int PublicRate { get; init; } = 10_000;

    /// <summary>
    /// CLAW_SERVICE_AUDIENCES_JSON: {"service":["audience",…]}, whose tokens' claims a service outside the suite is told. Default none:
    /// such a service is told the claims of tokens for the audience of its own name.
    /// </summary>
    public IReadOnlyDictionary<string, IReadOnlyList<string>> ServiceAudiences { get; init; } = new Dictionary<string, IReadOnlyList<string>>();

    public static IntrospectorOptions Read(Settings settings) => new()
    {
        Database = ReadDatabase(settings),
        Upstream = PeerAddresses.Read(settings, "CLAW_UPSTREAM"),
        Issuer = settings.Text("CLAW_UPSTREAM") is null ? null : PeerAddresses.Require(settings, "CLAW_ISSUER", "to the Issuer's address, such as https://127.0.0.1:7410: a relay has the keys from there"),
        Heartbeat = settings.Seconds("CLAW_FEED_HEARTBEAT_SECONDS", TimeSpan.FromSeconds(1), TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(30)),
        Lease = settings.Seconds("CLAW_FEED_LEASE_SECONDS", TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(1)),
        MostSubscribers = settings.Number("CLAW_FEED_MAX_SUBSCRIBERS", 20_000, 1, 1_000_000),
        MostSnapshots = settings.Number("CLAW_FEED_MAX_SNAPSHOTS", 8, 1, 1000),
        IsIntrospectionPublic = settings.Choice("SCOPE_INTROSPECT_AUTH", IntrospectAuth.Public) == IntrospectAuth.Public,
        PublicRate = settings.Number("SCOPE_INTROSPECT_RATE", 10_000, 1, 10_000_000),
        ServiceAudiences = ReadAudiences(settings),
    };

    // One source and no other: a relay that could also read the ledger would not say which of the two an answer rests on.
    private static string? ReadDatabase(Settings settings)
    {
        if (settings.Text("CLAW_UPSTREAM") is null)
            return settings.Required("CLAW_DATABASE_INTROSPECTOR", "to a connection string of role claw_introspector; `claw migrate` makes the role");
        return settings.Text("CLAW_DATABASE_INTROSPECTOR") is null
            ? null
            : throw new StartRefused("CLAW_UPSTREAM and CLAW_DATABASE_INTROSPECTOR are both set: unset the first to read the ledger, or the second to relay another Introspector.");
    }

    private static Dictionary<string, IReadOnlyList<string>> ReadAudiences(Settings settings)
    {
        var audiences = new Dictionary<string, IReadOnlyList<string>>(StringComparer.Ordinal);
        if (settings.Text("CLAW_SERVICE_AUDIENCES_JSON") is not { } json) return audiences;
        try
        {
            foreach (var (service, list) in JsonSerializer.Deserialize<Dictionary<string, string[]>>(json) ?? throw new JsonException()) audiences[service] = list;
            return audiences;
        }
        catch (JsonException)
        {
            throw new StartRefused("""CLAW_SERVICE_AUDIENCES_JSON cannot be read: set it to an object such as {"clawproxy":["clawproxy.example"]}.""");
        }
    }

    private enum IntrospectAuth
    {
        Public,
        Required,
    }
}
