using ClawBureau.Protos.Control.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using FsCheck;
using FsCheck.Fluent;

namespace ClawBureau.ControlPlane.Tests;

/// <summary>
/// Random interleavings of all operations by several owners, against a model that fits on one screen. Every operation asks for
/// its challenge, signs and sends, through one of two Issuers; the last two run at the same time.
/// </summary>
public sealed class StateMachineTests
{
    private const int Owners = 3, Controllers = 2, Agents = 2;

    [Fact]
    public async Task Whatever_several_owners_do_one_after_the_other_and_at_once_it_is_as_the_model_has_it()
    {
        await using var control = await ControlFixture.StartAsync();
        await using var second = await ControlFixture.StartIssuerAsync(control.Database);
        var elsewhere = control.Through(second);
        var seen = new Dictionary<(What, bool), int>();

        foreach (var (before, left, right) in Conflicts) await HoldsAsync(control, elsewhere, new Run(before, left, right), seen);
        Prop.ForAll(Arb.From(Runs), run => HoldsAsync(control, elsewhere, run, seen).GetAwaiter().GetResult()).Check(Config.QuickThrowOnFailure.WithMaxTest(15));

        // A run that only ever refuses, or never does, proves nothing; Conflicts alone has each of these.
        foreach (var what in Enum.GetValues<What>()) Assert.True(seen.GetValueOrDefault((what, true)) > 0, $"{what} never succeeded");
        foreach (var what in Enum.GetValues<What>().Where(w => w != What.RevokeAgent)) Assert.True(seen.GetValueOrDefault((what, false)) > 0, $"{what} was never refused");
        Assert.Equal(await control.ScalarAsync<long>("SELECT seq FROM ledger.head"), await control.ScalarAsync<long>("SELECT count(*) FROM ledger.events"));
        Assert.Equal(await control.ScalarAsync<long>("SELECT revocation_seq FROM ledger.head"), await control.ScalarAsync<long>("SELECT count(*) FROM ledger.revocations"));
    }

    internal enum What
    {
        Register,
        RegisterAgent,
        UpdatePolicy,
        RequestTransfer,
        ConfirmTransfer,
        CancelTransfer,
        Issue,
        RotateController,
        RevokeAgent,
    }

    /// <summary>One operation; who and what by their places. A likely one is moved to places where the model would do it, if there are any.</summary>
    internal sealed record Operation(What What, int Owner, int Controller = 0, int Agent = 0, int Target = 0, bool Likely = false);

    /// <summary>The last two are about one controller, or they would not be in conflict.</summary>
    internal sealed record Run(IReadOnlyList<Operation> Before, Operation Left, Operation Right);

    // Without a chain to begin with, and without likely ones, nearly everything is refused and nothing is ever cancelled.
    private static readonly Operation[] Chain = [new(What.Register, 0), new(What.RegisterAgent, 0)];
    private static readonly Operation Token = new(What.Issue, 0), Freeze = new(What.RequestTransfer, 0, Target: 1), Confirm = new(What.ConfirmTransfer, 1), Cancel = new(What.CancelTransfer, 0);

    /// <summary>Each pair that cannot both have its way, with what makes both possible; what comes before is done and refused in every way.</summary>
    private static readonly (Operation[] Before, Operation Left, Operation Right)[] Conflicts =
    [
        ([Chain[1], Token, Freeze, Confirm, Cancel, new(What.UpdatePolicy, 0), new(What.RotateController, 0)], Chain[0], new(What.Register, 1)),
        ([.. Chain, new(What.Register, 1), new(What.UpdatePolicy, 0), new(What.RotateController, 0), Token], Freeze, Token),
        ([.. Chain, Token], Freeze, Freeze with { Target = 2 }),
        ([.. Chain, Token], Freeze, new(What.UpdatePolicy, 0)),
        ([.. Chain, Token], Freeze, new(What.RegisterAgent, 0, Agent: 1)),
        ([.. Chain, Token, Freeze, Cancel, Freeze, Confirm, Token, Token with { Owner = 1 }, Freeze with { Owner = 1, Target = 0 }], Confirm with { Owner = 0 }, Cancel with { Owner = 1 }),
        ([.. Chain, Token, Freeze, Token, new(What.UpdatePolicy, 0), new(What.RegisterAgent, 0, Agent: 1), new(What.RotateController, 0), Freeze with { Target = 2 }], Cancel, Token),
        ([.. Chain, Token, Freeze], Confirm, Token with { Owner = 1 }),
        ([.. Chain, Token], new(What.RevokeAgent, 0), Token),
        ([.. Chain, Token], new(What.RevokeAgent, 0), new(What.RevokeAgent, 1)),
        ([Chain[0]], new(What.RevokeAgent, 0), Chain[1]),
    ];

    private static readonly Gen<What> AKind = Gen.Frequency(
        (2, Gen.Constant(What.Register)),
        (3, Gen.Constant(What.RegisterAgent)),
        (2, Gen.Constant(What.UpdatePolicy)),
        (4, Gen.Constant(What.RequestTransfer)),
        (4, Gen.Constant(What.ConfirmTransfer)),
        (4, Gen.Constant(What.CancelTransfer)),
        (5, Gen.Constant(What.Issue)),
        (2, Gen.Constant(What.RotateController)),
        (1, Gen.Constant(What.RevokeAgent)));

    private static readonly Gen<Operation> AnOperation =
        from what in AKind
        from owner in Gen.Choose(0, Owners - 1)
        from controller in Gen.Choose(0, Controllers - 1)
        from agent in Gen.Choose(0, Agents - 1)
        from target in Gen.Choose(0, Owners - 1)
        from likely in Gen.Elements(true, false)
        select new Operation(what, owner, controller, agent, target, likely);

    // A rotation stands in no pair: what was signed for the old name is refused under the new (RotationTests).
    private static readonly Gen<Run> Runs =
        from before in AnOperation.ArrayOf(14)
        from left in AnOperation.Where(o => o.What != What.RotateController)
        from right in AnOperation.Where(o => o.What != What.RotateController)
        select new Run([.. Chain, .. before], left, right);

    private static async Task<bool> HoldsAsync(ControlFixture control, ControlFixture elsewhere, Run run, Dictionary<(What, bool), int> seen)
    {
        var world = await World.CreateAsync(control);
        var model = new Model();
        int turn = 0;
        var story = new List<Operation>();
        foreach (var planned in run.Before)
        {
            var operation = model.Likely(planned);
            story.Add(operation);
            var done = await world.TryAsync(turn++ % 2 == 0 ? control : elsewhere, operation);
            (model, var expected) = model.After(operation);
            Assert.True(done == expected, $"{operation}: {(done ? "done" : "refused")}, the model says otherwise, after\n{string.Join('\n', story)}");
            seen[(operation.What, done)] = seen.GetValueOrDefault((operation.What, done)) + 1;
        }

        var left = model.Likely(run.Left);
        var right = model.Likely(run.Right with { Controller = left.Controller }) is var moved && moved.Controller == left.Controller ? moved : run.Right with { Controller = left.Controller };
        var both = await Task.WhenAll(world.TryAsync(control, left), world.TryAsync(elsewhere, right));
        var (leftFirst, rightFirst) = (model.After(left, right), model.After(right, left));
        Model? outcome = leftFirst.Outcomes is var (l, r) && (l, r) == (both[0], both[1]) && await world.IsAsync(control, leftFirst.Model) ? leftFirst.Model
            : rightFirst.Outcomes is var (r2, l2) && (l2, r2) == (both[0], both[1]) && await world.IsAsync(control, rightFirst.Model) ? rightFirst.Model
            : null;
        Assert.True(outcome is not null, $"{left} and {right} at once: {both[0]}, {both[1]}, which no order of the two explains, after\n{string.Join('\n', story)}");
        return true;
    }

    /// <summary>What should be true.</summary>
    private sealed record Model
    {
        private sealed record State(int Owner, int? PendingTo, IReadOnlyList<int> AgentsOf);

        private IReadOnlyDictionary<int, State> Registered { get; init; } = new Dictionary<int, State>();
        private IReadOnlyList<int> RevokedAgents { get; init; } = [];

        /// <summary>In order of issuance: by whom, under which controller, for which agent, and whether it is alive.</summary>
        public IReadOnlyList<(Operation By, bool Alive)> Tokens { get; init; } = [];

        public int? OwnerOf(int controller) => Registered.TryGetValue(controller, out var state) ? state.Owner : null;

        public bool IsFrozen(int controller) => Registered.TryGetValue(controller, out var state) && state.PendingTo is not null;

        /// <summary>The operation itself, or where it is likely and would be refused: the first of its kind that would not be.</summary>
        public Operation Likely(Operation o) => !o.Likely || After(o).Done ? o : (
            from owner in Enumerable.Range(0, Owners)
            from controller in Enumerable.Range(0, Controllers)
            from agent in Enumerable.Range(0, Agents)
            select o with { Owner = (o.Owner + owner) % Owners, Controller = (o.Controller + controller) % Controllers, Agent = (o.Agent + agent) % Agents })
            .FirstOrDefault(other => After(other).Done) ?? o;

        public (Model Model, (bool, bool) Outcomes) After(Operation first, Operation then)
        {
            var (middle, one) = After(first);
            var (end, two) = middle.After(then);
            return (end, (one, two));
        }

        public (Model Model, bool Done) After(Operation o)
        {
            Registered.TryGetValue(o.Controller, out var state);
            bool own = state?.Owner == o.Owner, thawed = state is { PendingTo: null };
            return o.What switch
            {
                What.Register when state is null => (With(o.Controller, new State(o.Owner, null, [])), true),
                What.Register => (this, own),
                What.RegisterAgent when own && thawed && !RevokedAgents.Contains(o.Agent) => (With(o.Controller, state! with { AgentsOf = [.. state.AgentsOf.Union([o.Agent])] }), true),
                What.UpdatePolicy or What.RotateController => (this, own && thawed),
                What.RequestTransfer when own && thawed => (With(o.Controller, state! with { PendingTo = o.Target }), true),
                What.ConfirmTransfer when state?.PendingTo == o.Owner =>
                    (With(o.Controller, state! with { Owner = o.Owner, PendingTo = null }).Killing(token => token.Controller == o.Controller && token.Owner == state.Owner), true),
                What.CancelTransfer when own && !thawed => (With(o.Controller, state! with { PendingTo = null }), true),
                What.Issue when own && thawed && state!.AgentsOf.Contains(o.Agent) && !RevokedAgents.Contains(o.Agent) => (this with { Tokens = [.. Tokens, (o, true)] }, true),
                What.RevokeAgent => ((this with { RevokedAgents = [.. RevokedAgents.Union([o.Agent])] }).Killing(token => token.Agent == o.Agent), true),
                _ => (this, false),
            };
        }

        private Model With(int controller, State state) => this with { Registered = new Dictionary<int, State>(Registered) { [controller] = state } };

        private Model Killing(Func<Operation, bool> dead) => this with { Tokens = [.. Tokens.Select(token => (token.By, token.Alive && !dead(token.By)))] };
    }

    /// <summary>What is true: parties with keys, and the tokens they got.</summary>
    private sealed class World(Party[] owners, Party[] controllers, Party[] agents)
    {
        private readonly List<(Operation By, string Token)> _issued = [];       // locked by itself

        public static async Task<World> CreateAsync(ControlFixture control)
        {
            async Task<Party[]> BoundAsync(int count) => [.. await Task.WhenAll(Enumerable.Range(0, count).Select(_ => control.BoundAsync()))];
            return new World(await BoundAsync(Owners), await BoundAsync(Controllers), await BoundAsync(Agents));
        }

        public async Task<bool> TryAsync(ControlFixture through, Operation o)
        {
            var (owner, controller, agent) = (owners[o.Owner], controllers[o.Controller], agents[o.Agent]);
            try
            {
                switch (o.What)
                {
                    case What.Register: await through.RegisterAsync(owner, controller); break;
                    case What.RegisterAgent: await through.RegisterAgentAsync(owner, controller, agent); break;
                    case What.UpdatePolicy: await through.UpdatePolicyAsync(owner, controller, ["control:key:rotate"], ["control:key:rotate"]); break;
                    // A retry is answered as it stands; here nobody retries, so another one was first.
                    case What.RequestTransfer: return !(await through.RequestTransferAsync(owner, controller, owners[o.Target])).AlreadyPending;
                    case What.ConfirmTransfer: return !(await through.ConfirmTransferAsync(owner, controller)).AlreadyTransferred;
                    case What.CancelTransfer: await through.CancelTransferAsync(owner, controller); break;
                    case What.RotateController: await RotateAsync(through, owner, o.Controller); break;
                    case What.RevokeAgent: await through.RevokeBindingAsync(agent); break;
                    case What.Issue:
                        var token = (await through.IssueAsync(new(owner, controller, agent))).Token;
                        lock (_issued) _issued.Add((o, token));
                        break;
                }
                return true;
            }
            catch (Refusal refusal) when (refusal.Reason == Reason.LedgerOverloaded)
            {
                return await TryAsync(through, o);          // "try again": cuts follow each other faster than seconds do
            }
            catch (Refusal refusal) when (refusal.Reason is not (Reason.Internal or Reason.LedgerUnavailable or Reason.LedgerOutcomeUnknown or Reason.RateLimited))
            {
                return false;
            }
        }

        /// <summary>Owners, freezes and the life of every token are as the model has them.</summary>
        public async Task<bool> IsAsync(ControlFixture control, Model model)
        {
            for (int i = 0; i < controllers.Length; i++)
            {
                var read = model.OwnerOf(i) is null ? null : (await control.Controllers.GetControllerAsync(new() { ControllerDid = controllers[i].Did })).Controller;
                if (read is null) continue;
                if (read.OwnerDid != owners[model.OwnerOf(i)!.Value].Did || (read.TransferState == TransferState.TransferPending) != model.IsFrozen(i)) return false;
            }
            // Two of the same kind that were issued at once are told apart by nothing; the count of the living is.
            foreach (var kind in model.Tokens.GroupBy(token => token.By))
            {
                int alive = 0;
                foreach (var (_, token) in _issued.Where(issued => issued.By == kind.Key)) alive += await control.IsActiveAsync(token) ? 1 : 0;
                if (alive != kind.Count(token => token.Alive)) return false;
            }
            return model.Tokens.Count == _issued.Count;
        }

        /// <summary>To a new DID and back into the same place: whoever speaks of the controller afterwards means the new one.</summary>
        private async Task RotateAsync(ControlFixture through, Party owner, int place)
        {
            var to = await through.BoundAsync();
            await through.RotateAsync(RotationRole.Controller, owner, controllers[place], to);
            controllers[place] = to;
        }
    }
}
