namespace ClawBureau.ControlPlane.Tests;

internal enum What
{
    Register,
    RegisterAgent,
    UpdatePolicy,
    RequestTransfer,
    ConfirmTransfer,
    CancelTransfer,

    /// <summary>Time, not a request: the deadline of a pending transfer passes.</summary>
    PassDeadline,
    Issue,
    RotateController,
    RotateAgent,
    Export,
    Import,
    RevokeOwner,
    RevokeController,
    RevokeAgent,
    BlockAgent,
    LiftAgent,
}

/// <summary>One operation; who and what by their places. A likely one is moved to places where the model would do it, if there are any.</summary>
internal sealed record Operation(What What, int Owner, int Controller = 0, int Agent = 0, int Target = 0, bool Likely = false);

/// <summary>A controller or an agent under one of the DIDs it has had: rotation gives the place another.</summary>
internal readonly record struct Named(int Place, int Generation);

/// <summary>What an export holds, as far as an import asks.</summary>
internal sealed record Bundle(Named Controller, int Owner, IReadOnlyList<Named> Agents, IReadOnlyList<Named> Formers, bool Narrowed, int Transfers, int Version);

/// <summary>An operation whose challenge was signed: what it speaks of is what stood then.</summary>
/// <param name="Refused">It did not get a challenge.</param>
/// <param name="PendingTo">To whom the transfer was that is to be cancelled.</param>
internal sealed record Signed(Operation Operation, bool Refused, Named Controller, Named Agent, int? PendingTo, Bundle? Bundle);

/// <summary>A token: by whom, under which names, and whether it is alive.</summary>
internal sealed record Minted(int Owner, Named Controller, Named Agent, bool Alive = true);

/// <summary>What should be true of the control plane, with everything left out that no operation here can tell apart.</summary>
internal sealed record ControlModel
{
    public const int Owners = 3, Controllers = 2, Agents = 2;

    /// <summary>A controller that is registered.</summary>
    /// <param name="Formers">Agents' names that lead to others within it.</param>
    private sealed record State(int Owner, int? PendingTo, bool Passed, IReadOnlyList<Named> AgentsOf, IReadOnlyList<Named> Formers, bool Narrowed, int Transfers, int Version);

    private IReadOnlyDictionary<int, State> Registered { get; init; } = new Dictionary<int, State>();

    /// <summary>Names that controllers gave up, with who owned them then: their records stay.</summary>
    private IReadOnlyDictionary<Named, int> GivenUp { get; init; } = new Dictionary<Named, int>();
    private IReadOnlyList<int> ControllerGenerations { get; init; } = new int[Controllers];
    private IReadOnlyList<int> AgentGenerations { get; init; } = new int[Agents];
    private IReadOnlyList<int> RevokedOwners { get; init; } = [];
    private IReadOnlyList<Named> RevokedControllers { get; init; } = [];
    private IReadOnlyList<Named> RevokedAgents { get; init; } = [];
    private IReadOnlyList<Named> Blocked { get; init; } = [];

    /// <summary>Agents whose tokens were ever taken back as a group: what was lifted or cut is told so once more, instead of that there is nothing.</summary>
    private IReadOnlyList<Named> Known { get; init; } = [];
    private IReadOnlyDictionary<int, Bundle> Bundles { get; init; } = new Dictionary<int, Bundle>();
    private IReadOnlyList<(int Place, int Version)> Imported { get; init; } = [];

    /// <summary>In no order that means anything.</summary>
    public IReadOnlyList<Minted> Tokens { get; init; } = [];

    /// <summary>True only in the negative control: a transfer that lets the old owner's tokens live.</summary>
    public bool ForgetsTokens { get; init; }

    public int? OwnerOf(int controller) => Registered.TryGetValue(controller, out var state) ? state.Owner : null;

    public bool IsFrozen(int controller) => Registered.TryGetValue(controller, out var state) && IsFrozen(state);

    public bool IsNarrowed(int controller) => Registered.TryGetValue(controller, out var state) && state.Narrowed;

    public IReadOnlyList<Named> AgentsOf(int controller) => Registered.TryGetValue(controller, out var state) ? state.AgentsOf : [];

    public Named ControllerAt(int place) => new(place, ControllerGenerations[place]);

    public Named AgentAt(int place) => new(place, AgentGenerations[place]);

    /// <summary>Two models with the same text cannot be told apart.</summary>
    public string Text => string.Join('\n',
        string.Join(';', Registered.OrderBy(r => r.Key).Select(r => $"{r.Key} {r.Value with { AgentsOf = [], Formers = [], Version = 0 }} {Of(r.Value.AgentsOf)} {Of(r.Value.Formers)}")),
        string.Join(';', GivenUp.OrderBy(g => (g.Key.Place, g.Key.Generation))), string.Join(',', ControllerGenerations), string.Join(',', AgentGenerations),
        string.Join(',', RevokedOwners.Order()), Of(RevokedControllers), Of(RevokedAgents), Of(Blocked), Of(Known),
        string.Join(';', Bundles.OrderBy(b => b.Key).Select(b => $"{b.Key} {Registered.GetValueOrDefault(b.Key)?.Version - b.Value.Version} {b.Value with { Agents = [], Formers = [], Version = 0 }} {Of(b.Value.Agents)}")),
        Imported.Count, string.Join(';', Tokens.Select(t => $"{t}").Order(StringComparer.Ordinal)));

    /// <summary>The operation itself, or where it is likely and would be refused: the first of its kind that would not be.</summary>
    public Operation Likely(Operation o) => !o.Likely || After(o).Done ? o : (
        from owner in Enumerable.Range(0, Owners)
        from controller in Enumerable.Range(0, Controllers)
        from agent in Enumerable.Range(0, Agents)
        select o with { Owner = (o.Owner + owner) % Owners, Controller = (o.Controller + controller) % Controllers, Agent = (o.Agent + agent) % Agents })
        .FirstOrDefault(other => After(other).Done) ?? o;

    /// <summary>
    /// Whole seconds decide which of two records is the newer one: whether a bundle from between two transfers is refused is then
    /// for the clock to say.
    /// </summary>
    public bool IsForTheClock(Operation o) =>
        o.What == What.Import && Bundles.TryGetValue(o.Controller, out var b) && Registered.TryGetValue(o.Controller, out var state) && b.Transfers > 0 && b.Transfers != state.Transfers;

    public (ControlModel Model, (bool, bool) Done) After(Signed first, Signed then)
    {
        var (middle, one) = After(first);
        var (end, two) = middle.After(then);
        return (end, (one, two));
    }

    public (ControlModel Model, bool Done) After(Operation o) => After(Sign(o));

    /// <summary>Who could not use a challenge does not get it.</summary>
    public Signed Sign(Operation o)
    {
        Registered.TryGetValue(o.Controller, out var state);
        bool bound = !RevokedOwners.Contains(o.Owner), own = bound && state?.Owner == o.Owner, thawed = state is not null && !IsFrozen(state);
        var agent = AgentAt(o.Agent);
        bool granted = o.What switch
        {
            What.Register => bound,
            What.RegisterAgent or What.UpdatePolicy or What.Export or What.RotateController => own && thawed,
            What.RotateAgent => own && thawed && (state!.AgentsOf.Contains(agent) || state.Formers.Contains(agent)),
            What.RequestTransfer => own && thawed && !RevokedOwners.Contains(o.Target),
            What.ConfirmTransfer => bound && !thawed && state?.PendingTo == o.Owner,
            What.CancelTransfer => own && !thawed,
            What.Import => bound && Bundles.ContainsKey(o.Controller),
            _ => true,
        };
        return new Signed(o, !granted, ControllerAt(o.Controller), agent, state?.PendingTo, Bundles.GetValueOrDefault(o.Controller));
    }

    public (ControlModel Model, bool Done) After(Signed signed)
    {
        var (o, _, controller, agent, _, bundle) = signed;
        if (signed.Refused) return (this, false);
        Registered.TryGetValue(o.Controller, out var state);
        bool bound = !RevokedOwners.Contains(o.Owner);
        bool frozen = state is not null && IsFrozen(state);
        // By the name it has now: what was signed for a former one is not taken for it.
        bool mine = bound && controller == ControllerAt(o.Controller) && state?.Owner == o.Owner;
        bool free = mine && !frozen;
        var changed = state is null ? null : Unfrozen(state) with { Version = state.Version + 1 };
        return o.What switch
        {
            What.Register when !bound || RevokedControllers.Contains(controller) => (this, false),
            What.Register when GivenUp.TryGetValue(controller, out int former) => (this, former == o.Owner),
            What.Register when state is null => (With(o.Controller, new State(o.Owner, null, false, [], [], false, 0, 1)), true),
            What.Register => (this, state.Owner == o.Owner),

            What.RegisterAgent when free && !RevokedAgents.Contains(agent) => state!.AgentsOf.Contains(agent) ? (this, true)
                : (With(o.Controller, state with { AgentsOf = [.. state.AgentsOf, agent], Formers = [.. state.Formers.Where(f => f != agent)], Version = state.Version + 1 }), true),
            What.UpdatePolicy when free => (With(o.Controller, changed! with { Narrowed = true }), true),

            What.RequestTransfer when free && !RevokedOwners.Contains(o.Target) => (With(o.Controller, changed! with { PendingTo = o.Target }), true),
            What.ConfirmTransfer when bound && frozen && state!.PendingTo == o.Owner && controller == ControllerAt(o.Controller) && !state.AgentsOf.Any(Blocked.Contains) =>
                (With(o.Controller, state with { Owner = o.Owner, PendingTo = null, Transfers = state.Transfers + 1, Version = state.Version + 1 })
                    .Killing(token => !ForgetsTokens && token.Controller.Place == o.Controller && token.Owner == state.Owner), true),
            What.CancelTransfer when mine && frozen && state!.PendingTo == signed.PendingTo => (With(o.Controller, state with { PendingTo = null, Version = state.Version + 1 }), true),
            What.PassDeadline when frozen => (With(o.Controller, state! with { Passed = true }), true),

            What.Issue when free && state!.AgentsOf.Contains(agent) && !RevokedAgents.Contains(agent) && !RevokedControllers.Contains(controller) && !Blocked.Contains(agent) =>
                (this with { Tokens = [.. Tokens, new Minted(o.Owner, controller, agent)] }, true),

            What.RotateController when free => (With(o.Controller, changed!) with
            {
                GivenUp = new Dictionary<Named, int>(GivenUp) { [controller] = o.Owner },
                ControllerGenerations = Next(ControllerGenerations, o.Controller),
            }, true),
            What.RotateAgent when free && state!.AgentsOf.Contains(agent) && !Blocked.Contains(agent) => (With(o.Controller, state with
            {
                AgentsOf = [.. state.AgentsOf.Where(a => a != agent), new Named(o.Agent, AgentGenerations[o.Agent] + 1)],
                Formers = [.. state.Formers, agent],
                Version = state.Version + 1,
            }) with
            {
                AgentGenerations = Next(AgentGenerations, o.Agent),
                Known = Known.Contains(agent) ? [.. Known, new Named(o.Agent, AgentGenerations[o.Agent] + 1)] : Known,
            }, true),

            What.Export when free =>
                (this with { Bundles = new Dictionary<int, Bundle>(Bundles) { [o.Controller] = new(controller, o.Owner, state!.AgentsOf, state.Formers, state.Narrowed, state.Transfers, state.Version) } }, true),
            What.Import when bound && bundle!.Owner == o.Owner && Imported.Contains((o.Controller, bundle.Version)) => (this, true),
            What.Import when bound && bundle!.Owner == o.Owner && IsTaken(bundle, state!, frozen) =>
                (With(o.Controller, changed!) with { Imported = [.. Imported, (o.Controller, bundle.Version)] }, true),

            What.RevokeOwner => ((this with { RevokedOwners = [.. RevokedOwners.Union([o.Owner])] }).Killing(token => token.Owner == o.Owner), true),
            What.RevokeController => ((this with { RevokedControllers = [.. RevokedControllers.Union([controller])] }).Killing(token => token.Controller == controller), true),
            What.RevokeAgent => ((this with { RevokedAgents = [.. RevokedAgents.Union([agent])], Known = [.. Known.Union([agent])] }).Killing(token => token.Agent == agent), true),
            What.BlockAgent => ((this with { Blocked = [.. Blocked.Union([agent])], Known = [.. Known.Union([agent])] }).Killing(token => token.Agent == agent), true),
            // What was blocked stays dead.
            What.LiftAgent when Known.Contains(agent) => (this with { Blocked = [.. Blocked.Where(b => b != agent)] }, true),
            _ => (this, false),
        };
    }

    /// <summary>Nothing here is newer than the bundle.</summary>
    private bool IsTaken(Bundle bundle, State state, bool frozen) =>
        state.Owner == bundle.Owner && !frozen && bundle.Controller == ControllerAt(bundle.Controller.Place) && bundle.Narrowed == state.Narrowed && bundle.Transfers == state.Transfers
        && bundle.Agents.All(a => state.AgentsOf.Contains(a) && !Blocked.Contains(a)) && !bundle.Formers.Any(state.AgentsOf.Contains);

    private static bool IsFrozen(State state) => state is { PendingTo: not null, Passed: false };

    /// <summary>What changes a controller takes a transfer with it whose deadline has passed.</summary>
    private static State Unfrozen(State state) => state.Passed ? state with { PendingTo = null, Passed = false } : state;

    private static IReadOnlyList<int> Next(IReadOnlyList<int> generations, int place) => [.. generations.Select((g, i) => i == place ? g + 1 : g)];

    private static string Of(IEnumerable<Named> names) => string.Join(',', names.Select(n => $"{n.Place}.{n.Generation}").Order(StringComparer.Ordinal));

    private ControlModel With(int controller, State state) => this with { Registered = new Dictionary<int, State>(Registered) { [controller] = state } };

    private ControlModel Killing(Func<Minted, bool> dead) => this with { Tokens = [.. Tokens.Select(token => token with { Alive = token.Alive && !dead(token) })] };
}
