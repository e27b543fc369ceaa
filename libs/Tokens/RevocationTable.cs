using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ClawBureau.Tokens;

/// <summary>
/// The memory of a <see cref="RevocationSet"/>: entries of 80 bytes in chunks that never move, and three open-addressing
/// indexes of 8 bytes a slot (32 bits of hash, 32 bits of place), at most three quarters full. A lookup compares the whole name,
/// all 32 bytes of a hash. One writer at a time, held by the set; readers take no lock.
/// </summary>
internal sealed class RevocationTable
{
    private const int ChunkBits = 10;               // 1,024 entries: 80 KiB, below the large object heap
    private const int ChunkSize = 1 << ChunkBits;
    private const uint Never = uint.MaxValue;       // of Entry.ExpiresAt

    private volatile Entry[][] _chunks = new Entry[1][];
    private int _count;                             // entries written, published by Volatile.Write
    private int _superseded;                        // groups' older states among them
    private readonly Index _hashes = new();
    private readonly Index _jtis = new();
    private readonly Index _groups = new();
    private readonly int[] _groupsOfKind = new int[(int)RevocationKind.Everything + 1];

    // A jti that is no canonical UUID: none of ours, so few.
    private readonly ConcurrentDictionary<string, int> _otherJtis = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<int, string> _otherJtiOf = new();

    /// <summary>Entries written.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Entries that hold.</summary>
    public int Live => Volatile.Read(ref _count) - Volatile.Read(ref _superseded);

    public long MemoryBytes
    {
        get
        {
            long bytes = _hashes.MemoryBytes + _jtis.MemoryBytes + _groups.MemoryBytes + _chunks.LongLength * IntPtr.Size;
            foreach (var chunk in _chunks)
                if (chunk is not null) bytes += (long)chunk.Length * Unsafe.SizeOf<Entry>();
            return bytes;
        }
    }

    /// <summary>Epoch seconds, rounded up; what lies beyond 2106 is for ever.</summary>
    public static uint ToSeconds(DateTimeOffset time) =>
        (uint)Math.Clamp((time.UtcTicks - DateTimeOffset.UnixEpoch.Ticks + TimeSpan.TicksPerSecond - 1) / TimeSpan.TicksPerSecond, 0L, Never);

    public Death? FindToken(TokenHash hash, string? jti)
    {
        int place = FindHash(hash.Bytes);
        if (place < 0 && jti is not null && (!_jtis.IsEmpty || !_otherJtis.IsEmpty))
            place = JtiName.TryParse(jti, out var uuid) ? FindJti(uuid) : _otherJtis.GetValueOrDefault(jti, -1);
        return place < 0 ? null : new Death(TimeOf(At(place)), null);
    }

    public Death? FindGroup(TokenClaims claims, KeyId signedBy)
    {
        if (_groups.IsEmpty) return null;
        var owner = claims.OwnerDid?.ToString();
        foreach (var kind in TokenGroups.Kinds)
        {
            // A key costs a hash to make: not where no group of the kind stands.
            if (Volatile.Read(ref _groupsOfKind[(int)kind]) == 0 || TokenGroups.ValueOf(kind, claims, signedBy) is not { } value) continue;
            if (FindGroup(kind, "", value, claims.IssuedAt) is { } death) return death;
            if (owner is not null && FindGroup(kind, owner, value, claims.IssuedAt) is { } scoped) return scoped;
        }
        return null;
    }

    public void Apply(RevocationEntry entry)
    {
        var written = new Entry { RevocationSeq = entry.RevocationSeq.Value, Seq = entry.Seq.Value, Ticks = entry.RevokedAt.UtcTicks, ExpiresAt = Never };
        if (entry.Group is { } group)
        {
            (written.Kind, written.Name, written.First) = (group.Kind, Bytes32.From(group.Hash), (ulong)entry.Cut);
            if (entry.Blocked) written.Flags = Flags.Blocked;
            AddGroup(written);
            return;
        }
        written.Kind = RevocationKind.Token;
        if (entry.ExpiresAt is { } end) written.ExpiresAt = ToSeconds(end);
        if (entry.TokenHash is { } hash)
        {
            hash.CopyTo(written.Name);
            written.Flags |= Flags.HasHash;
        }
        if (JtiName.TryParse(entry.Jti, out var uuid))
        {
            (written.First, written.Second) = uuid;
            written.Flags |= Flags.HasJti;
        }
        else if (entry.Jti is not null) written.Flags |= Flags.HasOtherJti;
        AddToken(written, entry.Jti);
    }

    /// <summary>Entries that nobody needs: expired ones, and what a group was before.</summary>
    public int CountUnneeded(uint oldest)
    {
        int unneeded = _superseded;
        for (int place = 0; place < _count; place++)
            if (IsExpired(At(place), oldest)) unneeded++;
        return unneeded;
    }

    public RevocationTable WithoutUnneeded(uint oldest)
    {
        var kept = new RevocationTable();
        for (int place = 0; place < _count; place++)
        {
            ref readonly var entry = ref At(place);
            if (entry.Kind != RevocationKind.Token)
            {
                if (FindGroup(entry.Kind, entry.Name) == place) kept.AddGroup(entry);
            }
            else if (!IsExpired(entry, oldest)) kept.AddToken(entry, _otherJtiOf.GetValueOrDefault(place));
        }
        return kept;
    }

    public IEnumerable<RevocationEntry> ReadAll()
    {
        int count = Volatile.Read(ref _count), kept = 0;
        var places = new int[count];
        var newest = new Dictionary<GroupName, int>();      // as of `count`: the index may be ahead of it
        for (int place = 0; place < count; place++)
        {
            ref readonly var entry = ref At(place);
            if (entry.Kind == RevocationKind.Token)
            {
                places[kept++] = place;
                continue;
            }
            var name = new GroupName(entry.Kind, TokenHash.FromBytes(entry.Name));
            if (!newest.TryGetValue(name, out int other) || At(other).RevocationSeq < entry.RevocationSeq) newest[name] = place;
        }
        foreach (int place in newest.Values) places[kept++] = place;

        var order = new long[kept];
        for (int i = 0; i < kept; i++) order[i] = At(places[i]).RevocationSeq;
        Array.Sort(order, places, 0, kept);
        for (int i = 0; i < kept; i++) yield return ToEntry(places[i]);
    }

    private void AddToken(in Entry entry, string? jti)
    {
        bool hasHash = (entry.Flags & Flags.HasHash) != 0, hasJti = (entry.Flags & Flags.HasJti) != 0, hasOtherJti = (entry.Flags & Flags.HasOtherJti) != 0;
        int byHash = hasHash ? FindHash(entry.Name) : -1;
        int byJti = hasJti ? FindJti((entry.First, entry.Second)) : hasOtherJti ? _otherJtis.GetValueOrDefault(jti!, -1) : -1;
        // A token dies once: an entry adds something where a name is new to the set, or would leave it earlier.
        bool addsHash = hasHash && (byHash < 0 || At(byHash).ExpiresAt < entry.ExpiresAt);
        bool addsJti = (hasJti || hasOtherJti) && (byJti < 0 || At(byJti).ExpiresAt < entry.ExpiresAt);
        if (!addsHash && !addsJti) return;

        int place = Write(entry);
        if (hasOtherJti)
        {
            _otherJtiOf[place] = jti!;
            if (addsJti) _otherJtis[jti!] = place;
        }
        else if (addsJti) _jtis.Set(JtiName.HashCodeOf((entry.First, entry.Second)), byJti, place);
        if (addsHash) _hashes.Set(Bytes32.HashCodeOf(entry.Name), byHash, place);
    }

    private void AddGroup(in Entry entry)
    {
        int before = FindGroup(entry.Kind, entry.Name);
        if (before >= 0 && At(before).RevocationSeq >= entry.RevocationSeq) return;
        int place = Write(entry);
        if (before < 0) Volatile.Write(ref _groupsOfKind[(int)entry.Kind], _groupsOfKind[(int)entry.Kind] + 1);
        _groups.Set(Bytes32.HashCodeOf(entry.Name), before, place);
        if (before >= 0) Volatile.Write(ref _superseded, _superseded + 1);
    }

    /// <returns>Its place, where it stays.</returns>
    private int Write(in Entry entry)
    {
        int place = _count, chunk = place >> ChunkBits;
        if (chunk == _chunks.Length)
        {
            var more = new Entry[Math.Max(4, chunk + chunk / 4)][];
            _chunks.CopyTo(more, 0);
            _chunks = more;
        }
        var chunks = _chunks;
        if (chunks[chunk] is null) Volatile.Write(ref chunks[chunk], new Entry[ChunkSize]);
        chunks[chunk][place & (ChunkSize - 1)] = entry;
        Volatile.Write(ref _count, place + 1);
        return place;
    }

    private int FindHash(in Bytes32 hash)
    {
        var probe = _hashes.Begin(Bytes32.HashCodeOf(hash));
        while (probe.MoveNext())
            if (Bytes32.Same(At(probe.Place).Name, hash)) return probe.Place;
        return -1;
    }

    private int FindJti((ulong First, ulong Second) uuid)
    {
        var probe = _jtis.Begin(JtiName.HashCodeOf(uuid));
        while (probe.MoveNext())
        {
            ref readonly var entry = ref At(probe.Place);
            if (entry.First == uuid.First && entry.Second == uuid.Second) return probe.Place;
        }
        return -1;
    }

    private Death? FindGroup(RevocationKind kind, string ownerScope, string value, long issuedAt)
    {
        var name = default(Bytes32);
        GroupKey.Write(kind, ownerScope, value, name);
        int place = FindGroup(kind, name);
        if (place < 0) return null;
        ref readonly var state = ref At(place);
        return (state.Flags & Flags.Blocked) != 0 || issuedAt <= (long)state.First ? new Death(TimeOf(state), kind) : null;
    }

    private int FindGroup(RevocationKind kind, in Bytes32 name)
    {
        var probe = _groups.Begin(Bytes32.HashCodeOf(name));
        while (probe.MoveNext())
        {
            ref readonly var entry = ref At(probe.Place);
            if (entry.Kind == kind && Bytes32.Same(entry.Name, name)) return probe.Place;
        }
        return -1;
    }

    private RevocationEntry ToEntry(int place)
    {
        ref readonly var entry = ref At(place);
        bool isToken = entry.Kind == RevocationKind.Token;
        return new RevocationEntry
        {
            RevocationSeq = new RevocationSeq(entry.RevocationSeq),
            Seq = new Seq(entry.Seq),
            RevokedAt = TimeOf(entry),
            TokenHash = (entry.Flags & Flags.HasHash) != 0 ? TokenHash.FromBytes(entry.Name) : null,
            Jti = (entry.Flags & Flags.HasJti) != 0 ? JtiName.ToText((entry.First, entry.Second)) : _otherJtiOf.GetValueOrDefault(place),
            ExpiresAt = entry.ExpiresAt == Never ? null : DateTimeOffset.FromUnixTimeSeconds(entry.ExpiresAt),
            Group = isToken ? null : GroupKey.FromHash(entry.Kind, ((ReadOnlySpan<byte>)entry.Name).ToArray()),
            Blocked = (entry.Flags & Flags.Blocked) != 0,
            Cut = isToken ? 0 : (long)entry.First,
        };
    }

    private ref readonly Entry At(int place) => ref _chunks[place >> ChunkBits][place & (ChunkSize - 1)];

    private static DateTimeOffset TimeOf(in Entry entry) => new(entry.Ticks, TimeSpan.Zero);

    private static bool IsExpired(in Entry entry, uint oldest) => entry.ExpiresAt < oldest && entry.ExpiresAt != Never;

    [Flags]
    private enum Flags : ushort
    {
        None = 0,
        HasHash = 1,
        HasJti = 2,
        HasOtherJti = 4,
        Blocked = 8,
    }

    private struct Entry
    {
        public Bytes32 Name;            // token hash or group key
        public ulong First;             // token: its jti, a UUID, with Second; group: the cut, epoch seconds
        public ulong Second;
        public long RevocationSeq;
        public long Seq;
        public long Ticks;              // of RevokedAt, UTC
        public uint ExpiresAt;          // epoch seconds
        public RevocationKind Kind;
        public Flags Flags;
    }

    private readonly record struct GroupName(RevocationKind Kind, TokenHash Key);

    /// <summary>Hash → places. Slots are filled or repointed, never emptied; a larger array replaces one that fills up.</summary>
    private sealed class Index
    {
        private volatile ulong[] _slots = [];
        private int _used;              // the writer's

        public bool IsEmpty => _slots.Length == 0;

        public long MemoryBytes => _slots.LongLength * sizeof(ulong);

        public Probe Begin(int hashCode) => new(_slots, hashCode);

        /// <param name="before">The place the name has now, which is repointed; -1: it is new.</param>
        public void Set(int hashCode, int before, int place)
        {
            if (before >= 0)
            {
                var slots = _slots;
                int found = (int)((uint)hashCode & (uint)(slots.Length - 1));
                while (slots[found] != ToSlot(hashCode, before)) found = (found + 1) & (slots.Length - 1);
                Volatile.Write(ref slots[found], ToSlot(hashCode, place));
                return;
            }
            if (_used >= _slots.Length / 4 * 3) Grow();
            Fill(_slots, hashCode, place);
            _used++;
        }

        private void Grow()
        {
            var grown = new ulong[SizeFor(_used + 1)];
            foreach (ulong slot in _slots)
                if (slot != 0) Fill(grown, (int)(slot >> 32), (int)(uint)slot - 1);
            _slots = grown;
        }

        private static void Fill(ulong[] slots, int hashCode, int place)
        {
            int free = (int)((uint)hashCode & (uint)(slots.Length - 1));
            while (slots[free] != 0) free = (free + 1) & (slots.Length - 1);
            Volatile.Write(ref slots[free], ToSlot(hashCode, place));
        }

        private static ulong ToSlot(int hashCode, int place) => (ulong)(uint)hashCode << 32 | (uint)(place + 1);

        // The smallest power of two that is not yet three quarters full.
        private static int SizeFor(int entries)
        {
            int size = 16;
            while (size / 4 * 3 < entries) size *= 2;
            return size;
        }
    }

    /// <summary>The places in an index whose hash is this one, until the first free slot.</summary>
    private ref struct Probe(ulong[] slots, int hashCode)
    {
        private uint _at = (uint)hashCode;

        public int Place { get; private set; }

        public bool MoveNext()
        {
            if (slots.Length == 0) return false;
            while (true)
            {
                ulong slot = Volatile.Read(ref slots[_at++ & (uint)(slots.Length - 1)]);
                if (slot == 0) return false;
                if ((uint)(slot >> 32) != (uint)hashCode) continue;
                Place = (int)(uint)slot - 1;
                return true;
            }
        }
    }

    /// <summary>A jti as 16 bytes, where it is a UUID in the one spelling that gives the same text back.</summary>
    private static class JtiName
    {
        public static bool TryParse(string? jti, out (ulong First, ulong Second) name)
        {
            name = default;
            Span<char> again = stackalloc char[36];
            if (jti is null || jti.Length != 36 || !Guid.TryParseExact(jti, "D", out var uuid)
                || !uuid.TryFormat(again, out _) || !again.SequenceEqual(jti)) return false;
            var words = MemoryMarshal.Cast<Guid, ulong>(new ReadOnlySpan<Guid>(in uuid));
            name = (words[0], words[1]);
            return true;
        }

        public static int HashCodeOf((ulong First, ulong Second) name) => HashCode.Combine(name.First, name.Second);

        public static string ToText((ulong First, ulong Second) name)
        {
            Span<ulong> words = [name.First, name.Second];
            return MemoryMarshal.Cast<ulong, Guid>(words)[0].ToString();
        }
    }
}
