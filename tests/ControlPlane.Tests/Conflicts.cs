namespace ClawBureau.ControlPlane.Tests;

/// <summary>How far a pair of operations gets in each other's way, by the model.</summary>
internal enum Clash
{
    /// <summary>One of them is refused whatever the other does.</summary>
    Hopeless,

    /// <summary>Either order leads to the same.</summary>
    Harmless,

    /// <summary>The order decides what becomes of one.</summary>
    Order,

    /// <summary>Each could be done, and the order decides.</summary>
    Race,
}

/// <summary>Two operations at once, and the way to where they meet.</summary>
/// <param name="Before">Done before the left one is signed.</param>
/// <param name="Between">Done after it is signed and before the right one is.</param>
internal sealed record Meeting(IReadOnlyList<Operation> Before, Operation Left, IReadOnlyList<Operation> Between, Operation Right, Clash Clash)
{
    public override string ToString() => $"{Clash}: after {Told(Before)} {Left}{(Between.Count > 0 ? $" was signed, then {Told(Between)} done" : "")}, at once with {Right}";

    private static string Told(IReadOnlyList<Operation> operations) => string.Join(", ", operations.Select(o => o.ToString()));
}

/// <summary>
/// Finds, for every pair of operations, the shortest way to where they clash most: nobody has to think of one, and an operation
/// that is new has all its pairs.
/// </summary>
internal sealed class Conflicts
{
    private const int MostSteps = 5, MostStates = 3000;

    private static readonly What[] All = Enum.GetValues<What>();
    private readonly List<(ControlModel Model, IReadOnlyList<Operation> Way)> _states = [(new ControlModel(), [])];

    public Conflicts()
    {
        var seen = new HashSet<string> { _states[0].Model.Text };
        for (int i = 0; i < _states.Count && _states.Count < MostStates; i++)
        {
            var (model, way) = _states[i];
            if (way.Count == MostSteps) break;
            foreach (var operation in All.SelectMany(InstancesOf))
            {
                var (next, done) = model.After(operation);
                if (done && next.Tokens.Count < 3 && seen.Add(next.Text)) _states.Add((next, [.. way, operation]));
            }
        }
    }

    /// <summary>Every operation somebody asks for, with every other and with itself.</summary>
    public static IEnumerable<(What, What)> Pairs => from left in All from right in All where left <= right && left != What.PassDeadline && right != What.PassDeadline select (left, right);

    /// <summary>The shortest way to where it is done and has something to do, with an agent that it concerns if there can be one.</summary>
    public (IReadOnlyList<Operation> Before, Operation Operation) WayTo(What what) =>
        (from state in _states
         from operation in InstancesOf(what)
         let after = state.Model.After(operation)
         where after.Done && (after.Model.Text != state.Model.Text || what == What.Import)
         orderby state.Model.AgentsOf(0).Count > 0 descending, state.Way.Count
         select (state.Way, operation)).First();

    public Meeting Find(What left, What right)
    {
        Meeting? best = null;
        foreach (var (model, way) in _states)
        {
            foreach (var l in InstancesOf(left))
            {
                foreach (var r in InstancesOf(right))
                {
                    if (Better(model, model.Sign(l), model.Sign(r)) is { } clash) best = new(way, l, [], r, clash);
                    if (best?.Clash == Clash.Race) return best;
                }
            }
        }
        if (best?.Clash == Clash.Order) return best;
        // Where none can be asked for while the other can, one is signed first and sent later.
        foreach (var (model, way) in _states.Where(s => s.Way.Count < MostSteps - 1))
        {
            foreach (var (early, late) in left == right ? [(left, right)] : new[] { (left, right), (right, left) })
            {
                foreach (var l in InstancesOf(early))
                {
                    var signed = model.Sign(l);
                    if (signed.Refused) continue;
                    foreach (var between in All.SelectMany(InstancesOf))
                    {
                        var (then, done) = model.After(between);
                        if (!done) continue;
                        foreach (var r in InstancesOf(late))
                        {
                            if (Better(then, signed, then.Sign(r)) is { } clash) best = new(way, l, [between], r, clash);
                            if (best?.Clash == Clash.Race) return best;
                        }
                    }
                }
            }
        }
        return best!;

        Clash? Better(ControlModel at, Signed l, Signed r)
        {
            if (l.Refused || r.Refused || at.IsForTheClock(l.Operation) || at.IsForTheClock(r.Operation)) return null;
            var (one, two) = (at.After(l, r), at.After(r, l));
            bool orderMatters = one.Done != (two.Done.Item2, two.Done.Item1) || one.Model.Text != two.Model.Text;
            bool either = at.After(l).Done && at.After(r).Done;
            var clash = orderMatters ? either ? Clash.Race : Clash.Order : either ? Clash.Harmless : Clash.Hopeless;
            return best is null || clash > best.Clash ? clash : null;
        }
    }

    /// <summary>With the places that matter to it: a second owner, and one controller and agent to meet at.</summary>
    private static IEnumerable<Operation> InstancesOf(What what) => what switch
    {
        What.RequestTransfer => [new(what, 0, Target: 1), new(what, 1, Target: 0), new(what, 0, Target: 2), new(what, 0, Target: 0)],
        What.PassDeadline or What.RevokeController or What.RevokeAgent or What.BlockAgent or What.LiftAgent => [new(what, 0)],
        _ => [new(what, 0), new(what, 1)],
    };
}
