using System.Security.Cryptography;

namespace ClawBureau.AuditSink;

/// <summary>One event as a source tells it, checked.</summary>
/// <param name="Seconds">When it happened: since 1970, with <paramref name="Nanos"/>.</param>
/// <param name="Payload">Canonical JSON; committed to byte for byte.</param>
/// <param name="Keys">What it is found by: clawbureau.audit.v1.EventKeys, encoded.</param>
internal sealed record SourceEvent(string Kind, long Seconds, int Nanos, byte[] Payload, byte[] Keys)
{
    public DateTimeOffset At => DateTimeOffset.FromUnixTimeSeconds(Seconds).AddTicks(Nanos / 100);
}

/// <summary>The epoch that a ledger's new one continues, and its last seq.</summary>
internal sealed record Continuation(Guid Epoch, long LastSeq);

/// <summary>Consecutive events of one source, with their leaves: all that can be hashed before the log's head is known.</summary>
internal sealed class EventRun
{
    public EventRun(string source, Guid epoch, long firstSeq, IReadOnlyList<SourceEvent> events, Continuation? continues)
    {
        (Source, Epoch, FirstSeq, Events, Continues) = (source, epoch, firstSeq, events, continues);
        Salts = RandomNumberGenerator.GetBytes(Leaf.SaltLength * events.Count);
        Leaves = new byte[events.Count][];
        LeafHashes = new byte[events.Count][];
        for (int i = 0; i < events.Count; i++)
        {
            Leaves[i] = LeafOf(i, Salts.AsSpan(Leaf.SaltLength * i, Leaf.SaltLength));
            LeafHashes[i] = MerkleHash.OfLeaf(Leaves[i]);
            Bytes += Leaves[i].Length + events[i].Payload.Length + events[i].Keys.Length + Leaf.SaltLength + MerkleHash.Length;
        }
    }

    public string Source { get; }
    public Guid Epoch { get; }
    public long FirstSeq { get; }
    public long LastSeq => FirstSeq + Events.Count - 1;
    public IReadOnlyList<SourceEvent> Events { get; }

    /// <summary>Stated with the first events of a recovered ledger's epoch.</summary>
    public Continuation? Continues { get; }

    public byte[] Salts { get; }
    public byte[][] Leaves { get; }
    public byte[][] LeafHashes { get; }

    /// <summary>What it takes in the database, about.</summary>
    public long Bytes { get; }

    /// <summary>The leaf of the i-th event under a salt: another one than its own where the event is compared with what is stored.</summary>
    public byte[] LeafOf(int i, ReadOnlySpan<byte> salt)
    {
        var e = Events[i];
        return new Leaf(Source, Epoch, FirstSeq + i, e.Kind, Leaf.Time(e.Seconds, e.Nanos), Leaf.Commit(salt, e.Payload)).Encode();
    }
}

/// <summary>The answer to an append: everything up to <paramref name="LastSeq"/> is durable.</summary>
internal sealed record Appended(long LastSeq, int AlreadyPresent, long TreeSize);
