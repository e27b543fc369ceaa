using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace ClawBureau.Tokens;

/// <summary>
/// The chain of transparency snapshots: each link's hash covers its number, the link before and its snapshot, and is signed, so that
/// none can be changed, left out or put between others later (keys.proto, TransparencySnapshot).
/// </summary>
public static class KeyTransparencyChain
{
    private const string SignedPrefix = "clawbureau:key-transparency:v1:";

    /// <summary>SHA-256 over the number as 8 bytes big-endian, the predecessor's chain hash and the snapshot's hash.</summary>
    /// <param name="number">1, 2, 3 …</param>
    /// <param name="previous">32 bytes; null for the first.</param>
    /// <param name="snapshotHash">32 bytes.</param>
    public static byte[] HashOf(long number, ReadOnlySpan<byte> previous, ReadOnlySpan<byte> snapshotHash)
    {
        Span<byte> link = stackalloc byte[8 + 32 + 32];
        link.Clear();
        BinaryPrimitives.WriteInt64BigEndian(link, number);
        previous.CopyTo(link[8..]);
        snapshotHash.CopyTo(link[40..]);
        return SHA256.HashData(link);
    }

    /// <summary>What is signed of a link: a text with a prefix of its own, so that no signature of this key means two things.</summary>
    public static byte[] SignedText(ReadOnlySpan<byte> chainHash) => Encoding.ASCII.GetBytes(SignedPrefix + Base64UrlText.Encode(chainHash));
}
