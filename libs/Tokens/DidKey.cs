using System.Buffers;

namespace ClawBureau.Tokens;

/// <summary>
/// A DID that holds its own Ed25519 key: <c>did:key:z</c> and base58btc of 0xED 0x01 and the 32 bytes
/// (control-plane-http.md 1). The only DIDs whose signatures count.
/// </summary>
public static class DidKey
{
    private const string Prefix = "did:key:z";
    private const string Base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    private const int MostCharacters = 64;      // 34 bytes are 46 to 48 characters

    private static readonly SearchValues<char> Alphabet = SearchValues.Create(Base58);

    /// <summary>The key that the DID holds.</summary>
    /// <exception cref="Refusal"><see cref="Reason.UnsupportedDid"/>: another method; <see cref="Reason.InvalidDid"/>: no Ed25519
    /// key, or one under which anybody can sign.</exception>
    public static VerificationKey Read(string did)
    {
        if (!did.StartsWith(Prefix, StringComparison.Ordinal)) throw new Refusal(Reason.UnsupportedDid);
        Span<byte> bytes = stackalloc byte[34];
        if (!TryDecode(did.AsSpan(Prefix.Length), bytes) || bytes[0] != 0xED || bytes[1] != 0x01 || !Ed25519Point.IsUsableKey(bytes[2..]))
            throw new Refusal(Reason.InvalidDid);
        return new VerificationKey(bytes[2..]);
    }

    /// <summary>The DID of a key.</summary>
    /// <param name="publicKey">32 bytes.</param>
    public static string Of(ReadOnlySpan<byte> publicKey)
    {
        Span<byte> bytes = [0xED, 0x01, .. publicKey];
        var text = new Stack<char>();
        while (bytes.ContainsAnyExcept((byte)0))
        {
            int rest = 0;
            for (int i = 0; i < bytes.Length; i++)
            {
                rest = (rest << 8) | bytes[i];
                bytes[i] = (byte)(rest / 58);
                rest %= 58;
            }
            text.Push(Base58[rest]);
        }
        return Prefix + new string([.. text]);
    }

    // Exactly the destination's length: a leading byte of 0xED leaves no room for a second spelling.
    private static bool TryDecode(ReadOnlySpan<char> text, Span<byte> destination)
    {
        destination.Clear();
        if (text.IsEmpty || text.Length > MostCharacters || text.ContainsAnyExcept(Alphabet)) return false;
        foreach (var character in text)
        {
            int carry = Base58.IndexOf(character, StringComparison.Ordinal);
            for (int i = destination.Length - 1; i >= 0; i--)
            {
                carry += destination[i] * 58;
                destination[i] = (byte)carry;
                carry >>= 8;
            }
            if (carry != 0) return false;
        }
        return true;
    }
}
