using System.Security.Cryptography;

namespace ClawBureau.AuditSink;

/// <summary>RFC 6962 section 2.1 hashing with SHA-256.</summary>
internal static class MerkleHash
{
    public const int Length = 32;

    /// <summary>The root of a tree of nothing: SHA-256 of the empty string.</summary>
    public static byte[] Empty { get; } = SHA256.HashData([]);

    /// <summary>SHA-256(0x00 || entry).</summary>
    public static byte[] OfLeaf(ReadOnlySpan<byte> entry)
    {
        var hash = new byte[Length];
        OfLeaf(entry, hash);
        return hash;
    }

    /// <summary>The same without the object.</summary>
    public static void OfLeaf(ReadOnlySpan<byte> entry, Span<byte> hash)
    {
        Span<byte> input = entry.Length < 1024 ? stackalloc byte[entry.Length + 1] : new byte[entry.Length + 1];
        input[0] = 0x00;
        entry.CopyTo(input[1..]);
        SHA256.HashData(input, hash);
    }

    /// <summary>Hashes one behind the other.</summary>
    public static byte[] Join(IReadOnlyList<byte[]> hashes)
    {
        var joined = new byte[Length * hashes.Count];
        for (int i = 0; i < hashes.Count; i++) hashes[i].CopyTo(joined, Length * i);
        return joined;
    }

    /// <summary>SHA-256(0x01 || left || right).</summary>
    public static byte[] OfNode(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right)
    {
        Span<byte> input = stackalloc byte[1 + 2 * Length];
        input[0] = 0x01;
        left.CopyTo(input[1..]);
        right.CopyTo(input[(1 + left.Length)..]);
        return SHA256.HashData(input[..(1 + left.Length + right.Length)]);
    }
}

/// <summary>256 hashes of one level, complete: element i of tile n is the root over the 256^level leaves from (n·256 + i)·256^level on.</summary>
internal sealed record HashTile(int Level, long Index, byte[] Hashes);

/// <summary>
/// The right edge of the tree: what appending needs, and nothing more. The frontier is one root per set bit of the size
/// (audit-and-feed.md 1.1); beside it each level's hashes that do not fill a tile yet. Not thread-safe: its owner is the one
/// appender.
/// </summary>
internal sealed class TreeEdge
{
    private const int TileWidth = 256;
    private const int TileHeight = 8;           // levels of the tree in one of tiles
    private readonly List<byte[]> _frontier;    // largest subtree first
    private readonly List<List<byte[]>> _partial;

    public TreeEdge() => (_frontier, _partial) = ([], []);

    private TreeEdge(TreeEdge other) =>
        (Size, _frontier, _partial) = (other.Size, [.. other._frontier], [.. other._partial.Select(level => new List<byte[]>(level))]);

    public long Size { get; private set; }

    public byte[] Frontier => MerkleHash.Join(_frontier);

    public TreeEdge Clone() => new(this);

    /// <summary>How many hashes of a level of tiles wait for their tile at this size.</summary>
    public static int PartialWidth(long size, int level) => (int)(size >> (TileHeight * level)) & (TileWidth - 1);

    /// <summary>How many tiles of a level are full at this size.</summary>
    public static long FullTiles(long size, int level) => size >> (TileHeight * (level + 1));

    /// <summary>Rebuilds the edge from each level's hashes beyond its last full tile.</summary>
    /// <exception cref="InvalidDataException">They are not as many as the size says.</exception>
    public static TreeEdge From(long size, IReadOnlyList<IReadOnlyList<byte[]>> partial)
    {
        var edge = new TreeEdge { Size = size };
        for (int level = 0; level < partial.Count; level++)
        {
            if (partial[level].Count != PartialWidth(size, level)) throw new InvalidDataException($"level {level} of the audit log's tree is incomplete");
            edge._partial.Add([.. partial[level]]);
        }
        if (size >> (TileHeight * partial.Count) != 0) throw new InvalidDataException("the audit log's tree lacks a level");
        // High levels first, and in each the largest complete subtree first: one per set bit of its width.
        for (int level = partial.Count - 1; level >= 0; level--)
        {
            var hashes = edge._partial[level];
            int at = 0;
            for (int bit = TileHeight - 1; bit >= 0; bit--)
            {
                int width = 1 << bit;
                if ((hashes.Count & width) == 0) continue;
                edge._frontier.Add(RootOf(hashes.GetRange(at, width)));
                at += width;
            }
        }
        return edge;
    }

    /// <summary>The root over 256 hashes of a full tile.</summary>
    public static byte[] RootOf(HashTile tile) => RootOf([.. tile.Hashes.Chunk(MerkleHash.Length)]);

    /// <param name="full">Gets the tiles that this leaf completes.</param>
    public void Append(byte[] leafHash, ICollection<HashTile> full)
    {
        var hash = leafHash;
        Collect(0, hash, full);
        for (int level = 0; (Size >> level & 1) == 1; level++)
        {
            hash = MerkleHash.OfNode(_frontier[^1], hash);
            _frontier.RemoveAt(_frontier.Count - 1);
            if ((level + 1) % TileHeight == 0) Collect((level + 1) / TileHeight, hash, full);
        }
        _frontier.Add(hash);
        Size++;
    }

    public byte[] Root()
    {
        if (_frontier.Count == 0) return MerkleHash.Empty;
        var root = _frontier[^1];
        for (int i = _frontier.Count - 2; i >= 0; i--) root = MerkleHash.OfNode(_frontier[i], root);
        return root;
    }

    private void Collect(int level, byte[] hash, ICollection<HashTile> full)
    {
        if (_partial.Count == level) _partial.Add([]);
        var hashes = _partial[level];
        hashes.Add(hash);
        if (hashes.Count < TileWidth) return;
        // Size still is what it was before this leaf, which completes the tile.
        full.Add(new HashTile(level, FullTiles(Size, level), MerkleHash.Join(hashes)));
        hashes.Clear();
    }

    private static byte[] RootOf(List<byte[]> hashes)
    {
        while (hashes.Count > 1)
        {
            var above = new List<byte[]>(hashes.Count / 2);
            for (int i = 0; i < hashes.Count; i += 2) above.Add(MerkleHash.OfNode(hashes[i], hashes[i + 1]));
            hashes = above;
        }
        return hashes[0];
    }
}
