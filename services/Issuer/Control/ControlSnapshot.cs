using ClawBureau.Ledger;
using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;
using Microsoft.EntityFrameworkCore;

namespace ClawBureau.Issuer.Control;

/// <summary>A record found under a DID that may be a former one.</summary>
/// <param name="Did">The present DID.</param>
/// <param name="Aliases">What led to it, in order.</param>
internal sealed record Resolved<T>(T? Record, string Did, IReadOnlyList<Alias> Aliases);

/// <summary>
/// The control plane as one snapshot of the database has it. Remembers what it was asked for, and in which version it was
/// found: an act decided from it is recorded only if all of that still holds under the ledger's lock.
/// </summary>
internal sealed class ControlSnapshot(ControlContext context, DateTimeOffset now, CancellationToken cancellationToken)
{
    private const int MostHops = 8;

    private readonly Dictionary<(SeenKind, string), Seen> _seen = [];

    /// <summary>The moment that decides about deadlines; whole seconds, as the contract tells times.</summary>
    public DateTime Now { get; } = DateTimeOffset.FromUnixTimeSeconds(now.ToUnixTimeSeconds()).UtcDateTime;

    public IReadOnlyList<Seen> Seen => [.. _seen.Values];

    public async Task<(Revision Revision, long ControlSeq)> ReadHeadAsync()
    {
        var head = await context.Database.SqlQuery<Head>(
            $"""SELECT epoch AS "Epoch", seq AS "Seq", revocation_seq AS "RevocationSeq", control_seq AS "ControlSeq" FROM ledger.head""").SingleAsync(cancellationToken);
        return (new Revision(head.Epoch, new Seq(head.Seq), new RevocationSeq(head.RevocationSeq)), head.ControlSeq);
    }

    public async Task<Binding?> FindBindingAsync(string did) =>
        Saw(SeenKind.Binding, did, await context.Bindings.AsNoTracking().SingleOrDefaultAsync(b => b.Did == did, cancellationToken), b => b.Version);

    public async Task<Controller?> FindControllerAsync(string did) =>
        Saw(SeenKind.Controller, did, await context.Controllers.AsNoTracking().SingleOrDefaultAsync(c => c.ControllerDid == did, cancellationToken), c => c.Version);

    /// <summary>The alias a controller's former DID left, active or not.</summary>
    public async Task<Alias?> FindControllerAliasAsync(string fromDid) => Saw(
        SeenKind.Alias,
        fromDid,
        await context.Aliases.AsNoTracking().SingleOrDefaultAsync(a => a.Role == AliasRole.Controller && a.ControllerDid == "" && a.FromDid == fromDid, cancellationToken),
        a => a.Version);

    public async Task<Import?> FindImportAsync(string bundleHash) =>
        Saw(SeenKind.Import, bundleHash, await context.Imports.AsNoTracking().SingleOrDefaultAsync(i => i.BundleHash == bundleHash, cancellationToken), i => i.Version);

    public Task<Challenge?> FindChallengeAsync(string challengeId) =>
        context.Challenges.AsNoTracking().SingleOrDefaultAsync(c => c.ChallengeId == challengeId, cancellationToken);

    /// <summary>Follows the aliases of a controller to the record it has now.</summary>
    public async Task<Resolved<Controller>> ResolveControllerAsync(string did)
    {
        var aliases = new List<Alias>();
        while (aliases.Count < MostHops && await FindControllerAliasAsync(did) is { Active: true } alias)
        {
            aliases.Add(alias);
            did = alias.ToDid;
        }
        return new(await FindControllerAsync(did), did, aliases);
    }

    // Agents and their aliases are covered by their controller's version, which the caller has seen.

    public Task<Agent?> FindAgentAsync(string controllerDid, string agentDid) =>
        context.Agents.AsNoTracking().SingleOrDefaultAsync(a => a.ControllerDid == controllerDid && a.AgentDid == agentDid, cancellationToken);

    /// <summary>Follows the aliases that hold within the controller.</summary>
    public async Task<Resolved<Agent>> ResolveAgentAsync(string controllerDid, string did)
    {
        var aliases = new List<Alias>();
        while (aliases.Count < MostHops && await FindAgentAliasAsync(controllerDid, did) is { Active: true } alias)
        {
            aliases.Add(alias);
            did = alias.ToDid;
        }
        return new(await FindAgentAsync(controllerDid, did), did, aliases);
    }

    public Task<Alias?> FindAgentAliasAsync(string controllerDid, string fromDid) => context.Aliases.AsNoTracking()
        .SingleOrDefaultAsync(a => a.Role == AliasRole.Agent && a.ControllerDid == controllerDid && a.FromDid == fromDid, cancellationToken);

    public Task<List<Alias>> ListAgentAliasesAsync(string controllerDid) => context.Aliases.AsNoTracking()
        .Where(a => a.Role == AliasRole.Agent && a.ControllerDid == controllerDid).ToListAsync(cancellationToken);

    /// <summary>In the order of their DIDs.</summary>
    public Task<List<Agent>> ListAgentsAsync(string controllerDid) => context.Agents.AsNoTracking()
        .Where(a => a.ControllerDid == controllerDid).OrderBy(a => a.AgentDid).ToListAsync(cancellationToken);

    /// <summary>The page after one DID, in the database's order of DIDs.</summary>
    public Task<List<Agent>> ListAgentsAsync(string controllerDid, string after, int most) => context.Agents.AsNoTracking()
        .Where(a => a.ControllerDid == controllerDid && string.Compare(a.AgentDid, after) > 0).OrderBy(a => a.AgentDid).Take(most).ToListAsync(cancellationToken);

    public Task<int> CountAgentsAsync(string controllerDid) => context.Agents.CountAsync(a => a.ControllerDid == controllerDid, cancellationToken);

    /// <summary>Active registrations of an agent under other owners. Whoever registers an agent moves the version of its binding, which the caller has seen.</summary>
    public Task<List<Agent>> ListForeignAgentsAsync(string agentDid, string ownerDid) => context.Agents.AsNoTracking()
        .Where(a => a.AgentDid == agentDid && a.OwnerDid != ownerDid && a.Active).ToListAsync(cancellationToken);

    /// <summary>Every DID that leads to this controller, its own first.</summary>
    public async Task<IReadOnlyList<string>> ListNamesAsync(string controllerDid)
    {
        var names = new List<string> { controllerDid };
        for (int i = 0; i < names.Count && i < MostHops; i++)
        {
            var name = names[i];
            var former = await context.Aliases.AsNoTracking()
                .Where(a => a.Role == AliasRole.Controller && a.ControllerDid == "" && a.ToDid == name && a.Active).Select(a => a.FromDid).ToListAsync(cancellationToken);
            names.AddRange(former.Except(names, StringComparer.Ordinal));
        }
        return names;
    }

    private T? Saw<T>(SeenKind kind, string key, T? record, Func<T, long> version) where T : class
    {
        _seen[(kind, key)] = new Seen(kind, key, record is null ? 0 : version(record));
        return record;
    }

    private sealed record Head(Guid Epoch, long Seq, long RevocationSeq, long ControlSeq);
}
