using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ClawBureau.Tokens;

/// <summary>32 bytes by value: what a SHA-256 hash is inside. No array behind it, so copies are free and nobody can change one.</summary>
[InlineArray(Length)]
internal struct Bytes32
{
    internal const int Length = 32;
    private byte _first;

    internal static Bytes32 From(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Length)
            throw new ArgumentException("32 bytes are needed", nameof(bytes));
        var value = default(Bytes32);
        bytes.CopyTo(value);
        return value;
    }

    internal static bool Same(in Bytes32 left, in Bytes32 right) => ((ReadOnlySpan<byte>)left).SequenceEqual(right);

    /// <summary>Seeded per process: operators may revoke hashes of their own choosing, and must not be able to choose collisions.</summary>
    internal static int HashCodeOf(in Bytes32 value)
    {
        var words = MemoryMarshal.Cast<byte, ulong>((ReadOnlySpan<byte>)value);
        return HashCode.Combine(words[0], words[1], words[2], words[3]);
    }
}
