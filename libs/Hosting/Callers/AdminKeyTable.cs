using System.Runtime.CompilerServices;
using System.Security.Cryptography;

namespace ClawBureau.Hosting.Callers;

/// <summary>
/// Admin keys to be found by the hash of what a caller shows. A search takes the same time whatever it finds (SECURITY.md D10): it looks at
/// every key, compares whole hashes, and takes a key's place or the empty place before all keys without a branch.
/// </summary>
internal sealed class AdminKeyTable(IReadOnlyList<AdminKeyRecord> keys)
{
    private readonly byte[][] _hashes = [.. keys.Select(key => key.Hash.ToArray())];
    private readonly Caller.AdminKey?[] _callers = [null, .. keys.Select(key => key.Caller)];

    public int Count => _hashes.Length;

    /// <summary>The same keys, and these after them.</summary>
    public AdminKeyTable With(IReadOnlyList<AdminKeyRecord> more) => new([.. keys, .. more]);

    /// <param name="hash">32 bytes.</param>
    /// <returns>Of two keys with one text, the first; null: it is none of them.</returns>
    public Caller.AdminKey? Find(ReadOnlySpan<byte> hash)
    {
        var found = 0;
        for (var place = _hashes.Length; place > 0; place--)
        {
            var equals = -(int)Unsafe.BitCast<bool, byte>(CryptographicOperations.FixedTimeEquals(_hashes[place - 1], hash)); // all bits or none
            found = (found & ~equals) | (place & equals);
        }
        return _callers[found];
    }
}
