using ClawBureau.Issuer;
using ClawBureau.Ledger;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;
using Xunit.Sdk;

namespace ClawBureau.ControlPlane.Tests;

/// <summary>
/// All operations by several owners, one after the other and at once, through two Issuers, against a model. What happens at
/// once was decided from one and the same state, and waits for the ledger's head together.
/// </summary>
public sealed class StateMachineTests
{
    [Fact]
    public async Task Whatever_several_owners_do_one_after_the_other_and_at_once_it_is_as_the_model_has_it()
    {
        await using var issuers = await TwoIssuers.StartAsync();
        var seen = new Dictionary<(What, bool), int>();
        Prop.ForAll(Arb.From(Runs), run => HoldsAsync(issuers, run, seen).GetAwaiter().GetResult()).Check(Config.QuickThrowOnFailure.WithMaxTest(20));

        // Runs that only ever refuse prove nothing; that each is done at some time is for the pairs to show.
        Assert.True(seen.Count(s => s.Key.Item2) > Enum.GetValues<What>().Length / 2, string.Join(", ", seen));
        await issuers.AreDenseAsync();
    }

    [Fact]
    public async Task Of_any_two_operations_that_conflict_the_one_is_done_first_and_then_the_other()
    {
        await using var issuers = await TwoIssuers.StartAsync();
        var conflicts = new Conflicts();
        var keys = new Dictionary<What, IReadOnlySet<string>>();
        foreach (var what in Enum.GetValues<What>().Where(w => w != What.PassDeadline)) keys[what] = await KeysOfAsync(issuers, conflicts, what);

        var (raced, shared) = (0, 0);
        foreach (var (left, right) in Conflicts.Pairs)
        {
            var meeting = conflicts.Find(left, right);
            bool conflict = keys[left].Overlaps(keys[right]);
            // Whatever the order decides about must be told apart by the acts themselves: they may not stand in one batch unjudged.
            Assert.True(conflict || meeting.Clash < Clash.Order, $"{left} and {right} share no key, and yet the order decides. {meeting}");
            if (!conflict) continue;
            Assert.True(meeting.Clash > Clash.Hopeless, $"{left} and {right} conflict, and no way was found to where they meet. {meeting}");
            await MeetAsync(issuers, meeting, new ControlModel());
            shared++;
            if (meeting.Clash == Clash.Race) raced++;
        }
        Assert.True(raced > 40 && shared > 100, $"{shared} pairs share a key, {raced} of them can each be done and not both as they were meant");
        await issuers.AreDenseAsync();
    }

    [Fact]
    public async Task The_model_notices_a_transfer_that_would_leave_the_old_owner_its_tokens()
    {
        await using var issuers = await TwoIssuers.StartAsync();
        var meeting = new Meeting(
            [new(What.Register, 0), new(What.RegisterAgent, 0), new(What.Issue, 0), new(What.RequestTransfer, 0, Target: 1)],
            new(What.ConfirmTransfer, 1), [], new(What.CancelTransfer, 0), Clash.Race);
        // Cancelling may be first; a transfer that nobody cancels is in every run's reach.
        await MeetAsync(issuers, meeting with { Right = new(What.RevokeOwner, 2) }, new ControlModel());
        await Assert.ThrowsAnyAsync<XunitException>(() => MeetAsync(issuers, meeting with { Right = new(What.RevokeOwner, 2) }, new ControlModel { ForgetsTokens = true }));
    }

    [Fact]
    public async Task Acts_that_are_judged_before_the_lock_are_seen_to_break_it()
    {
        await using var issuers = await TwoIssuers.StartAsync(judgeUnderLock: false);
        var conflicts = new Conflicts();
        int broken = 0;
        foreach (var (left, right) in ((What, What)[])[(What.ConfirmTransfer, What.CancelTransfer), (What.RequestTransfer, What.Issue), (What.RequestTransfer, What.RegisterAgent)])
        {
            var meeting = left < right ? conflicts.Find(left, right) : conflicts.Find(right, left);
            Assert.Equal(Clash.Race, meeting.Clash);
            try
            {
                await MeetAsync(issuers, meeting, new ControlModel());
            }
            catch (XunitException)
            {
                broken++;
            }
        }
        Assert.True(broken > 0, "what is judged without the lock went unnoticed");
    }

    /// <summary>The last two are about one controller, or they would not be in conflict.</summary>
    internal sealed record Run(IReadOnlyList<Operation> Before, Operation Left, Operation Right)
    {
        public override string ToString() => $"{string.Join('\n', Before)}\nat once {Left} and {Right}";
    }

    private static readonly Operation[] Chain = [new(What.Register, 0), new(What.RegisterAgent, 0)];

    private static readonly Gen<What> AKind = Gen.Frequency(
        (2, Gen.Constant(What.Register)),
        (3, Gen.Constant(What.RegisterAgent)),
        (2, Gen.Constant(What.UpdatePolicy)),
        (4, Gen.Constant(What.RequestTransfer)),
        (4, Gen.Constant(What.ConfirmTransfer)),
        (3, Gen.Constant(What.CancelTransfer)),
        (2, Gen.Constant(What.PassDeadline)),
        (5, Gen.Constant(What.Issue)),
        (2, Gen.Constant(What.RotateController)),
        (2, Gen.Constant(What.RotateAgent)),
        (3, Gen.Constant(What.Export)),
        (3, Gen.Constant(What.Import)),
        (1, Gen.Elements(What.RevokeOwner, What.RevokeController, What.RevokeAgent)),
        (2, Gen.Elements(What.BlockAgent, What.LiftAgent)));

    private static readonly Gen<Operation> AnOperation =
        from what in AKind
        from owner in Gen.Choose(0, ControlModel.Owners - 1)
        from controller in Gen.Choose(0, ControlModel.Controllers - 1)
        from agent in Gen.Choose(0, ControlModel.Agents - 1)
        from target in Gen.Choose(0, ControlModel.Owners - 1)
        from likely in Gen.Elements(true, false)
        select new Operation(what, owner, controller, agent, target, likely);

    private static readonly Gen<Run> Runs =
        from before in AnOperation.ArrayOf(18)
        from left in AnOperation.Where(o => o.What != What.PassDeadline)
        from right in AnOperation.Where(o => o.What != What.PassDeadline)
        select new Run([.. Chain, .. before], left, right);

    private static async Task<bool> HoldsAsync(TwoIssuers issuers, Run run, Dictionary<(What, bool), int> seen)
    {
        var world = await ControlWorld.CreateAsync(issuers.One);
        var model = new ControlModel();
        var story = new List<Operation>();
        foreach (var planned in run.Before)
        {
            var operation = model.Likely(planned);
            if (model.IsForTheClock(operation)) continue;
            model = await DoAsync(issuers, world, model, operation, story);
            var (what, done) = (operation.What, model.After(operation).Done);
            seen[(what, done)] = seen.GetValueOrDefault((what, done)) + 1;
        }
        Assert.True(await world.IsAsync(model), "the world is not as the model has it, after\n" + string.Join('\n', story));

        var left = model.Likely(run.Left);
        var right = model.Likely(run.Right with { Controller = left.Controller }) is var moved && moved.Controller == left.Controller ? moved : run.Right with { Controller = left.Controller };
        if (model.IsForTheClock(left) || model.IsForTheClock(right)) return true;
        await MeetAsync(issuers, world, model, (model.Sign(left), await world.SignAsync(issuers.One, left)), (model.Sign(right), await world.SignAsync(issuers.Other, right)), story);
        return true;
    }

    private static async Task MeetAsync(TwoIssuers issuers, Meeting meeting, ControlModel model)
    {
        var world = await ControlWorld.CreateAsync(issuers.One);
        var story = new List<Operation>();
        foreach (var operation in meeting.Before) model = await DoAsync(issuers, world, model, operation, story);
        var left = (model.Sign(meeting.Left), await world.SignAsync(issuers.One, meeting.Left));
        foreach (var operation in meeting.Between) model = await DoAsync(issuers, world, model, operation, story);
        await MeetAsync(issuers, world, model, left, (model.Sign(meeting.Right), await world.SignAsync(issuers.Other, meeting.Right)), story);
    }

    private static async Task<ControlModel> DoAsync(TwoIssuers issuers, ControlWorld world, ControlModel model, Operation operation, List<Operation> story)
    {
        story.Add(operation);
        var done = await world.TryAsync(story.Count % 2 == 0 ? issuers.One : issuers.Other, operation);
        (model, var expected) = model.After(operation);
        Assert.True(done == expected, $"{operation}: {(done ? "done" : "refused")}, the model says otherwise, after\n{string.Join('\n', story)}");
        return model;
    }

    /// <summary>Sends both while nobody can append, and has them at the head together; what comes of it is what one order of the two gives.</summary>
    private static async Task MeetAsync(
        TwoIssuers issuers, ControlWorld world, ControlModel model, (Signed Signed, Func<Task<bool>> SendAsync) left, (Signed Signed, Func<Task<bool>> SendAsync) right, List<Operation> story)
    {
        var both = await issuers.AtOnceAsync(left.SendAsync, right.SendAsync);
        var (leftFirst, rightFirst) = (model.After(left.Signed, right.Signed), model.After(right.Signed, left.Signed));
        bool isOne = leftFirst.Done == both && await world.IsAsync(leftFirst.Model);
        isOne = isOne || (rightFirst.Done == (both.Right, both.Left) && await world.IsAsync(rightFirst.Model));
        Assert.True(isOne, $"{left.Signed.Operation} and {right.Signed.Operation} at once: {both.Left}, {both.Right}, which no order of the two explains, after\n{string.Join('\n', story)}");
    }

    /// <summary>What the operation's own act conflicts by and is judged by, with roles for DIDs.</summary>
    private static async Task<IReadOnlySet<string>> KeysOfAsync(TwoIssuers issuers, Conflicts conflicts, What what)
    {
        var (before, operation) = conflicts.WayTo(what);
        var world = await ControlWorld.CreateAsync(issuers.One);
        var (model, story) = (new ControlModel(), new List<Operation>());
        foreach (var step in before) model = await DoAsync(issuers, world, model, step, story);
        var send = await world.SignAsync(issuers.One, operation);
        var acts = issuers.Acts.Count;
        Assert.True(await send(), $"{operation} is not done after\n{string.Join('\n', story)}");
        var act = Assert.Single(issuers.Acts.Skip(acts));

        var roles = world.Parties.ToList();
        var names = new Dictionary<string, string>();
        foreach (var (role, did) in roles)
        {
            foreach (var kind in Enum.GetValues<SeenKind>()) names[$"{kind} {did}"] = $"{kind} {role}";
            foreach (var kind in Enum.GetValues<RevocationKind>().Where(k => k != RevocationKind.Token))
            {
                names[Act.GroupConflictKey(GroupKey.Of(kind, "", did))] = $"{kind} {role}";
                foreach (var (_, owner) in roles.Where(r => r.Role == "owner")) names[Act.GroupConflictKey(GroupKey.Of(kind, owner, did))] = $"{kind} {role} of an owner";
            }
        }
        IEnumerable<string> keys = act switch
        {
            MintAct mint => [.. mint.ConflictKeys, .. mint.Seen.Select(s => $"{s.Kind} {s.Key}"), .. mint.Groups.Select(Act.GroupConflictKey)],
            ControlAct control => [.. control.ConflictKeys, .. control.MustNotBeBlocked.Select(Act.GroupConflictKey)],
            _ => act.ConflictKeys,
        };
        // What has no name here is this act's alone: its challenge, its token; and the import of one bundle.
        return keys.Select(key => key.StartsWith($"{SeenKind.Import} ", StringComparison.Ordinal) ? "Import" : names.GetValueOrDefault(key)).OfType<string>().ToHashSet(StringComparer.Ordinal);
    }
}

/// <summary>Two Issuers on one ledger, whose acts are watched and whose appends can be held up.</summary>
internal sealed class TwoIssuers : IAsyncDisposable
{
    private readonly TestProcess _second;
    private readonly NpgsqlDataSource _admin;
    private readonly List<Act> _acts;           // locked by itself

    private TwoIssuers(ControlFixture one, TestProcess second, NpgsqlDataSource admin, List<Act> acts) => (One, _second, Other, _admin, _acts) = (one, second, one.Through(second), admin, acts);

    public ControlFixture One { get; }
    public ControlFixture Other { get; }

    /// <summary>Of both, in the order they were decided.</summary>
    public IReadOnlyList<Act> Acts
    {
        get
        {
            lock (_acts) return [.. _acts];
        }
    }

    /// <param name="judgeUnderLock">False only in the negative control.</param>
    public static async Task<TwoIssuers> StartAsync(bool judgeUnderLock = true)
    {
        var acts = new List<Act>();
        void Instead(IServiceCollection services) => services.AddSingleton(s => new LedgerWriter(
            LedgerDatabase.ForWriting(Patiently(s.GetRequiredService<IssuerOptions>().Database)), s.GetRequiredService<IssuerOptions>().Ledger, s.GetRequiredService<ILogger<LedgerWriter>>())
        {
            Rewrite = judgeUnderLock ? null : BrokenAppend.JudgeInOneStatement,
            Watch = act =>
            {
                lock (acts) acts.Add(act);
            },
        });
        var one = await ControlFixture.StartAsync(instead: Instead);
        var second = await ControlFixture.StartIssuerAsync(one.Database, instead: Instead);
        return new(one, second, NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(one.Database.Admin) { MaxPoolSize = 4 }.ConnectionString), acts);
    }

    /// <summary>Both are decided and at the head, or answered, before either can be appended.</summary>
    public async Task<(bool Left, bool Right)> AtOnceAsync(Func<Task<bool>> left, Func<Task<bool>> right)
    {
        await using var connection = await _admin.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using (var hold = new NpgsqlCommand("SELECT 1 FROM ledger.head FOR UPDATE", connection)) await hold.ExecuteNonQueryAsync();
        Task<bool>[] both = [left(), right()];
        await using (var count = _admin.CreateCommand("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'claw-writer' AND wait_event_type = 'Lock'"))
        {
            await Eventually.HoldsAsync("both wait for the head", async () => (long)(await count.ExecuteScalarAsync())! + both.Count(task => task.IsCompleted) >= both.Length);
        }
        await transaction.CommitAsync();
        return (await both[0], await both[1]);
    }

    /// <summary>No number was left out or given twice.</summary>
    public async Task AreDenseAsync()
    {
        Assert.Equal(await One.ScalarAsync<long>("SELECT seq FROM ledger.head"), await One.ScalarAsync<long>("SELECT count(*) FROM ledger.events"));
        Assert.Equal(await One.ScalarAsync<long>("SELECT revocation_seq FROM ledger.head"), await One.ScalarAsync<long>("SELECT count(*) FROM ledger.revocations"));
    }

    public async ValueTask DisposeAsync()
    {
        await _admin.DisposeAsync();
        await _second.DisposeAsync();
        await One.DisposeAsync();
    }

    // A held head is no outage: on a busy machine the second may take longer to get there than the role waits for a lock.
    private static string Patiently(string connectionString) => new NpgsqlConnectionStringBuilder(connectionString) { Options = "-c lock_timeout=20s -c statement_timeout=20s" }.ConnectionString;
}
