using ClawBureau.Ledger.Reading;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Issuer;

/// <summary>The policy that judges here.</summary>
/// <param name="LedgerVersion">Its version in the ledger; null: it comes from configuration, which holds while the ledger has none.</param>
/// <param name="ControlSeq">head.control_seq it was read at.</param>
/// <param name="Row">As it was put; null for the configured one.</param>
public sealed record PolicyInForce(ScopePolicy Policy, string? LedgerVersion, long ControlSeq, PolicyRow? Row);

/// <summary>
/// The policy in force: the ledger's latest, or else the configured one. What is kept here may be old without harm: the ledger sends a
/// mint back that was judged by another version than its own, and a refusal stands only by the newest (DESIGN "The ledger", rule 3).
/// So all replicas change over at the act that put the policy.
/// </summary>
public sealed class PolicyBook(LedgerReads ledger, IssuerOptions options, ControlViews views, ILogger<PolicyBook> log)
{
    private readonly Lock _lock = new();
    private volatile PolicyInForce? _current;       // replaced under the lock, by newer ones only

    /// <summary>True for what a policy refused, as opposed to what no policy would allow.</summary>
    public static bool Decides(Refusal refusal) =>
        refusal.Metadata.ContainsKey("rule") || refusal.Reason is Reason.PolicyTierUnknown or Reason.PolicyConfigInvalid;

    /// <summary>The longest life that a tier gives, in seconds.</summary>
    public static long LongestTtlOf(ScopePolicy policy) => policy.Tiers.Values.Select(tier => (long)tier.MaxTtl.TotalSeconds).DefaultIfEmpty().Max();

    /// <summary>To judge by; not older than the control view.</summary>
    /// <exception cref="Refusal">LEDGER_UNAVAILABLE; POLICY_CONFIG_INVALID: this build cannot read what the ledger has.</exception>
    public ValueTask<PolicyInForce> CurrentAsync(CancellationToken cancellationToken) =>
        _current is { } current && !(views.Current is { } view && view.ControlSeq > current.ControlSeq && view.PolicyVersion != current.LedgerVersion)
            ? ValueTask.FromResult(current)
            : new ValueTask<PolicyInForce>(ReadAsync(cancellationToken));

    /// <summary>As of that control_seq at least.</summary>
    /// <inheritdoc cref="CurrentAsync"/>
    public Task<PolicyInForce> AtLeastAsync(long controlSeq, CancellationToken cancellationToken) =>
        _current is { } current && current.ControlSeq >= controlSeq ? Task.FromResult(current) : ReadAsync(cancellationToken);

    /// <summary>As the ledger has it at a moment after this call.</summary>
    /// <inheritdoc cref="CurrentAsync"/>
    public async Task<PolicyInForce> ReadAsync(CancellationToken cancellationToken)
    {
        try
        {
            var (controlSeq, row) = await ledger.Reader.ReadCurrentPolicyAsync(cancellationToken);
            return Take(controlSeq, row);
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException)
        {
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
    }

    /// <summary>The document of a row.</summary>
    /// <exception cref="Refusal">POLICY_CONFIG_INVALID: a newer build put it.</exception>
    public static ScopePolicy Read(PolicyRow row)
    {
        try
        {
            return ScopePolicy.ParseDocument(System.Text.Encoding.UTF8.GetString(row.Document));
        }
        catch (Refusal invalid)
        {
            throw new Refusal(Reason.PolicyConfigInvalid, $"This build cannot read policy version {row.Version} of the ledger.", invalid.Metadata, invalid);
        }
    }

    private PolicyInForce Take(long controlSeq, PolicyRow? row)
    {
        lock (_lock)
        {
            if (_current is { } current)
            {
                if (current.ControlSeq > controlSeq) return current;
                if (current.LedgerVersion == row?.Version) return _current = current with { ControlSeq = controlSeq };
            }
            var taken = new PolicyInForce(row is null ? options.Policy : Read(row), row?.Version, controlSeq, row);
            Log.PolicyInForce(log, taken.Policy.Version, row is null ? "configuration" : $"seq {row.Seq}");
            return _current = taken;
        }
    }
}
