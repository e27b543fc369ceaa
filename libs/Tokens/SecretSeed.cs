using System.Runtime.InteropServices;

namespace ClawBureau.Tokens;

/// <summary>A seed in <see cref="SecretMemory"/>. Zeroed when it is disposed and nobody uses it any more, or when it is forgotten.</summary>
internal sealed class SecretSeed : SafeHandle
{
    /// <param name="seed">32 bytes; copied.</param>
    internal SecretSeed(ReadOnlySpan<byte> seed)
        : base(0, ownsHandle: true) => SetHandle(SecretMemory.Take(seed));

    public override bool IsInvalid => handle == 0;

    /// <summary>For as long as it is held with DangerousAddRef.</summary>
    internal ReadOnlySpan<byte> Bytes => SecretMemory.At(handle);

    protected override bool ReleaseHandle()
    {
        SecretMemory.Return(handle);
        return true;
    }
}
