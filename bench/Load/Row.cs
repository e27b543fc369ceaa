namespace ClawBureau.Load;

/// <summary>One line of the table. What is null was not measured, or has nothing to be compared with.</summary>
/// <param name="PerSecond">Median over the rounds.</param>
/// <param name="P50Ms">Over every call of the rounds that count; for batches, of one call.</param>
/// <param name="CpuUs">CPU per operation of the process that serves; of this one where nothing is called.</param>
/// <param name="ClientCpuUs">CPU per operation of the process that calls: this one.</param>
/// <param name="Ratio">Median over the rounds of this throughput by the baseline's of the same round.</param>
/// <param name="CpuRatio">This <paramref name="CpuUs"/> by the baseline's.</param>
/// <param name="Discarded">Rounds that were thrown out and repeated because the hypervisor took CPU away.</param>
/// <param name="Stolen">Rounds that count although it did: there were too many to repeat them all.</param>
public sealed record Row(
    string Name, double PerSecond, double P50Ms, double P99Ms, double? CpuUs, double? ClientCpuUs, string? Baseline, double? Ratio, double? CpuRatio, int Discarded, int Stolen)
{
    /// <summary>CPU per operation of the database server, whoever it worked for meanwhile; null where it has no part or the system does not tell.</summary>
    public double? DatabaseCpuUs { get; init; }
}
