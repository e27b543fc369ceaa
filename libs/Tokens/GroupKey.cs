using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace ClawBureau.Tokens;

/// <summary>What a row of the revocation feed is about. Stored as smallint and sent on the wire; numbers are never reused.</summary>
public enum RevocationKind : short
{
    Token = 1,
    Subject = 2,
    Agent = 3,
    Controller = 4,
    Owner = 5,
    Delegator = 6,
    Delegation = 7,
    Mission = 8,
    KeyId = 9,
    Everything = 10,
}

/// <summary>
/// The name of a group of tokens as it is stored and sent: SHA-256 over kind, owner scope and value, each string
/// length-prefixed, so that neither a mission id nor a DID travels in plain text (DESIGN "Revocation").
/// </summary>
public readonly record struct GroupKey
{
    private readonly byte[] _hash;

    private GroupKey(RevocationKind kind, byte[] hash) => (Kind, _hash) = (kind, hash);

    public RevocationKind Kind { get; }

    /// <summary>32 bytes; the caller must not change them.</summary>
    public byte[] Hash => _hash ?? throw new InvalidOperationException("a default GroupKey names no group");

    /// <param name="kind">A group kind; a token is not a group.</param>
    /// <param name="ownerScope">The owner whose tokens alone are meant, or empty for an operator's unscoped group.</param>
    /// <param name="value">The subject, mission id … as it stands in the claims; empty for <see cref="RevocationKind.Everything"/>.</param>
    public static GroupKey Of(RevocationKind kind, string ownerScope, string value)
    {
        var hash = new byte[SHA256.HashSizeInBytes];
        Write(kind, ownerScope, value, hash);
        return new GroupKey(kind, hash);
    }

    /// <summary>The same without the object: the 32 bytes of <see cref="Hash"/> into <paramref name="hash"/>.</summary>
    internal static void Write(RevocationKind kind, string ownerScope, string value, Span<byte> hash)
    {
        if (kind == RevocationKind.Token)
            throw new ArgumentException("a token is not a group", nameof(kind));
        int scopeLength = Encoding.UTF8.GetByteCount(ownerScope), valueLength = Encoding.UTF8.GetByteCount(value);
        int length = 2 + 4 + scopeLength + 4 + valueLength;
        Span<byte> text = length <= 512 ? stackalloc byte[length] : new byte[length];
        BinaryPrimitives.WriteInt16BigEndian(text, (short)kind);
        BinaryPrimitives.WriteInt32BigEndian(text[2..], scopeLength);
        Encoding.UTF8.GetBytes(ownerScope, text[6..]);
        BinaryPrimitives.WriteInt32BigEndian(text[(6 + scopeLength)..], valueLength);
        Encoding.UTF8.GetBytes(value, text[(10 + scopeLength)..]);
        SHA256.HashData(text, hash);
    }

    /// <summary>A key read back from the ledger or the feed.</summary>
    public static GroupKey FromHash(RevocationKind kind, byte[] hash) =>
        hash.Length == 32 ? new GroupKey(kind, hash) : throw new ArgumentException("a group key is 32 bytes", nameof(hash));

    public bool Equals(GroupKey other) => Kind == other.Kind && _hash.AsSpan().SequenceEqual(other._hash);

    public override int GetHashCode() => _hash is null ? 0 : HashCode.Combine(Kind, BinaryPrimitives.ReadInt32LittleEndian(_hash));

    public override string ToString() => _hash is null ? "none" : $"{Kind}:{Convert.ToHexStringLower(_hash.AsSpan(0, 4))}…";
}
