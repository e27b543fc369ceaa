namespace ClawBureau.Tokens;

/// <summary>Lengths are checked before native code sees a pointer.</summary>
internal static class Ed25519Lengths
{
    internal static void Require(ReadOnlySpan<byte> bytes, int length, string name)
    {
        if (bytes.Length != length)
            throw new ArgumentException($"{length} bytes are needed, not {bytes.Length}", name);
    }
}
