using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace ClawBureau.Tokens;

/// <summary>
/// Shows that a snapshot arrived whole and in order (feed.proto, SnapshotEnd.sha256): SHA-256 over every entry's
/// revocation_seq, 8 bytes big-endian, and its name, 32 bytes: the token's hash, or the SHA-256 of its jti where the hash is
/// not known, or the group's key.
/// </summary>
public sealed class SnapshotDigest : IDisposable
{
    private readonly IncrementalHash _sha256 = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <summary>Entries added.</summary>
    public long Count { get; private set; }

    public void Add(RevocationEntry entry)
    {
        Span<byte> bytes = stackalloc byte[8 + SHA256.HashSizeInBytes];
        BinaryPrimitives.WriteInt64BigEndian(bytes, entry.RevocationSeq.Value);
        if (entry.Group is { } group) group.Hash.CopyTo(bytes[8..]);
        else if (entry.TokenHash is { } hash) hash.CopyTo(bytes[8..]);
        else SHA256.HashData(Encoding.UTF8.GetBytes(entry.Jti ?? ""), bytes[8..]);
        _sha256.AppendData(bytes);
        Count++;
    }

    /// <returns>32 bytes, over everything added so far.</returns>
    public byte[] Compute() => _sha256.GetCurrentHash();

    public void Dispose() => _sha256.Dispose();
}
