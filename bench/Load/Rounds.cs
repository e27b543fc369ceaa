namespace ClawBureau.Load;

/// <summary>
/// Rounds that count. One in which the hypervisor took CPU away is thrown out and done again; twice as many of those as rounds are
/// asked for, then such a round counts too.
/// </summary>
internal sealed class Rounds
{
    /// <summary>Thrown out.</summary>
    public int Discarded { get; private set; }

    /// <summary>Counted although CPU was taken away.</summary>
    public int Stolen { get; private set; }

    /// <param name="round">Told how many count already.</param>
    public async Task<IReadOnlyList<T>> RunAsync<T>(int count, Func<int, Task<T>> round)
    {
        var counted = new List<T>();
        while (counted.Count < count)
        {
            var before = Machine.ReadCpu();
            var measured = await round(counted.Count);
            if (Machine.IsStolen(before, Machine.ReadCpu()))
            {
                if (Discarded < 2 * count)
                {
                    Discarded++;
                    continue;
                }
                Stolen++;
            }
            counted.Add(measured);
        }
        return counted;
    }
}
