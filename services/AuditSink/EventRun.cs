using System.Security.Cryptography;
using ClawBureau.Tokens;

namespace ClawBureau.AuditSink;

/// <summary>One event as a source tells it, checked.</summary>
/// <param name="Seconds">When it happened: since 1970, with <paramref name="Nanos"/>.</param>
/// <param name="Payload">Canonical JSON; committed to byte for byte.</param>
/// <param name="Keys">What it is found by: clawbureau.audit.v1.EventKeys, encoded.</param>
internal sealed record SourceEvent(string Kind, long Seconds, int Nanos, ReadOnlyMemory<byte> Payload, byte[] Keys)
{
    public DateTimeOffset At => DateTimeOffset.FromUnixTimeSeconds(Seconds).AddTicks(Nanos / 100);
}

/// <summary>The epoch that a ledger's new one continues, and its last seq.</summary>
internal sealed record Continuation(Guid Epoch, long LastSeq);

/// <summary>
/// Consecutive events of one source, hashed and laid out as they are stored: all that can be done before the log's head is known
/// is done here, by the call that brings them, and not by the one loop that appends.
/// </summary>
internal sealed class EventRun
{
    private readonly byte[] _salts;
    private readonly byte[] _leafHashes;
    private readonly Packed _leaves;
    private readonly Packed _payloads;
    private readonly Packed _keys;

    public EventRun(string source, Guid epoch, long firstSeq, IReadOnlyList<SourceEvent> events, Continuation? continues)
    {
        (Source, Epoch, FirstSeq, Events, Continues) = (source, epoch, firstSeq, events, continues);
        _salts = RandomNumberGenerator.GetBytes(Leaf.SaltLength * events.Count);
        _leafHashes = new byte[MerkleHash.Length * events.Count];
        _leaves = Packed.Bundle(events.Count, events.Count * Leaf.UsualLength);
        _payloads = Packed.Blob(events.Count, events.Sum(e => e.Payload.Length));
        _keys = Packed.Blob(events.Count, events.Sum(e => e.Keys.Length));
        var json = new JsJsonWriter();
        for (int i = 0; i < events.Count; i++)
        {
            var leaf = WriteLeaf(json, i, _salts.AsSpan(Leaf.SaltLength * i, Leaf.SaltLength));
            MerkleHash.OfLeaf(leaf, _leafHashes.AsSpan(MerkleHash.Length * i, MerkleHash.Length));
            _leaves.Add(leaf);
            _payloads.Add(events[i].Payload.Span);
            _keys.Add(events[i].Keys);
        }
        Bytes = _salts.Length + _leafHashes.Length + _leaves.Length + _payloads.Length + _keys.Length;
    }

    public string Source { get; }
    public Guid Epoch { get; }
    public long FirstSeq { get; }
    public long LastSeq => FirstSeq + Events.Count - 1;
    public IReadOnlyList<SourceEvent> Events { get; }

    /// <summary>Stated with the first events of a recovered ledger's epoch.</summary>
    public Continuation? Continues { get; }

    /// <summary>What it takes in the database, about.</summary>
    public long Bytes { get; }

    public byte[] LeafHash(int i) => _leafHashes[(MerkleHash.Length * i)..(MerkleHash.Length * (i + 1))];

    // Of the events from first on and before end, as they are stored.
    public ReadOnlyMemory<byte> LeafHashes(int first, int end) => _leafHashes.AsMemory((MerkleHash.Length * first)..(MerkleHash.Length * end));
    public ReadOnlyMemory<byte> Salts(int first, int end) => _salts.AsMemory((Leaf.SaltLength * first)..(Leaf.SaltLength * end));
    public ReadOnlyMemory<byte> Leaves(int first, int end) => _leaves.Slice(first, end);
    public ReadOnlyMemory<byte> Payloads(int first, int end) => _payloads.Slice(first, end);
    public ReadOnlyMemory<byte> Keys(int first, int end) => _keys.Slice(first, end);

    public (DateTime Earliest, DateTime Latest) Times(int first, int end)
    {
        var (earliest, latest) = (Events[first].At, Events[first].At);
        for (int i = first + 1; i < end; i++)
        {
            var at = Events[i].At;
            if (at < earliest) earliest = at;
            if (at > latest) latest = at;
        }
        return (earliest.UtcDateTime, latest.UtcDateTime);
    }

    /// <summary>The hash of the i-th event's leaf under a salt: another one than its own where the event is compared with what is stored.</summary>
    public byte[] LeafHashUnder(ReadOnlySpan<byte> salt, int i) => MerkleHash.OfLeaf(WriteLeaf(new JsJsonWriter(), i, salt));

    private ReadOnlySpan<byte> WriteLeaf(JsJsonWriter json, int i, ReadOnlySpan<byte> salt)
    {
        var e = Events[i];
        return new Leaf(Source, Epoch, FirstSeq + i, e.Kind, Leaf.Time(e.Seconds, e.Nanos), Leaf.Commit(salt, e.Payload.Span)).WriteTo(json.Clear());
    }
}

/// <summary>The answer to an append: everything up to <paramref name="LastSeq"/> is durable.</summary>
internal sealed record Appended(long LastSeq, int AlreadyPresent, long TreeSize);
