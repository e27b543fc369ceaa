namespace ClawBureau.Tokens;

/// <summary>Place of an act in the ledger: 1, 2, 3 … without gaps, in commit order, within one epoch.</summary>
public readonly record struct Seq(long Value) : IComparable<Seq>
{
    public int CompareTo(Seq other) => Value.CompareTo(other.Value);
    public override string ToString() => Value.ToString();
    public static bool operator <(Seq left, Seq right) => left.Value < right.Value;
    public static bool operator >(Seq left, Seq right) => left.Value > right.Value;
    public static bool operator <=(Seq left, Seq right) => left.Value <= right.Value;
    public static bool operator >=(Seq left, Seq right) => left.Value >= right.Value;
}

/// <summary>Place of a revocation, block or lift among those: dense, and what watchers count by. Never a <see cref="Seq"/>.</summary>
public readonly record struct RevocationSeq(long Value) : IComparable<RevocationSeq>
{
    public int CompareTo(RevocationSeq other) => Value.CompareTo(other.Value);
    public override string ToString() => Value.ToString();
    public static bool operator <(RevocationSeq left, RevocationSeq right) => left.Value < right.Value;
    public static bool operator >(RevocationSeq left, RevocationSeq right) => left.Value > right.Value;
    public static bool operator <=(RevocationSeq left, RevocationSeq right) => left.Value <= right.Value;
    public static bool operator >=(RevocationSeq left, RevocationSeq right) => left.Value >= right.Value;
}

/// <summary>What one read of the ledger saw. Numbers of different epochs do not compare.</summary>
public readonly record struct Revision(Guid Epoch, Seq Seq, RevocationSeq RevocationSeq);
