namespace ClawBureau.Ledger;

/// <summary>How the append path batches and waits.</summary>
public sealed class LedgerOptions
{
    /// <summary>Most acts in one batch. Default 256; more lengthens the time the head is held.</summary>
    public int BatchSize { get; set; } = 256;

    /// <summary>Mints that may wait. Default 4096; beyond it issuance is refused with LEDGER_OVERLOADED.</summary>
    public int MintQueue { get; set; } = 4096;

    /// <summary>Revocations, lifts and control acts that may wait, apart from the mints. Default 16384.</summary>
    public int ReservedQueue { get; set; } = 16384;

    /// <summary>How long the outcome of a batch is looked for after its connection was lost. Default 5 s; then its callers are told it is unknown.</summary>
    public TimeSpan ResolveWithin { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a batch may take on the wire before its connection is given up and the outcome looked up. Default 5 s; the role's own timeouts are shorter.</summary>
    public TimeSpan BatchTimeout { get; set; } = TimeSpan.FromSeconds(5);
}
