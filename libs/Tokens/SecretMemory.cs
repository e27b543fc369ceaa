using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace ClawBureau.Tokens;

/// <summary>
/// Where seeds are kept: pages of their own, which the garbage collector neither moves nor copies, and which the system neither swaps out
/// nor writes into a core dump, where it can be told so. A machine that cannot lock memory still signs; <see cref="Flaw"/> says what is
/// missing, for the log and for people.
/// </summary>
public static unsafe partial class SecretMemory
{
    private const int SlotLength = Ed25519.SeedLength;
    private const int DoNotDump = 16; // MADV_DONTDUMP of Linux

    private static readonly Lock Gate = new();
    private static readonly Stack<nint> Free = new(); // locked; every slot in it is zero. Pages are kept: there is one, as a rule
    private static volatile string? _flaw;

    /// <summary>Null while every page that was made is locked; else why one is not.</summary>
    public static string? Flaw => _flaw;

    /// <summary>Bytes of all pages.</summary>
    public static long Bytes { get; private set; }

    internal static nint Take(ReadOnlySpan<byte> secret)
    {
        lock (Gate)
        {
            if (Free.Count == 0) AddPage();
            var slot = Free.Pop();
            secret.CopyTo(At(slot));
            return slot;
        }
    }

    internal static void Return(nint slot)
    {
        CryptographicOperations.ZeroMemory(At(slot));
        lock (Gate) Free.Push(slot);
    }

    internal static Span<byte> At(nint slot) => new((void*)slot, SlotLength);

    private static void AddPage()
    {
        var length = (nuint)Environment.SystemPageSize;
        var page = (nint)NativeMemory.AlignedAlloc(length, length);
        NativeMemory.Clear((void*)page, length);
        Bytes += (long)length;
        _flaw = Protect(page, length) ?? _flaw;
        for (var at = (nint)length - SlotLength; at >= 0; at -= SlotLength) Free.Push(page + at);
    }

    /// <returns>Null, or what the system would not do.</returns>
    private static string? Protect(nint page, nuint length)
    {
        try
        {
            if (OperatingSystem.IsWindows()) return VirtualLock(page, length) ? null : $"VirtualLock: {Marshal.GetLastPInvokeErrorMessage()}";
            if (LockPages(page, length) != 0) return $"mlock: {Marshal.GetLastPInvokeErrorMessage()}";
            return OperatingSystem.IsLinux() && Advise(page, length, DoNotDump) != 0 ? $"madvise: {Marshal.GetLastPInvokeErrorMessage()}" : null;
        }
        catch (Exception missing) when (missing is DllNotFoundException or EntryPointNotFoundException)
        {
            return missing.Message;
        }
    }

    [LibraryImport("libc", EntryPoint = "mlock", SetLastError = true)]
    private static partial int LockPages(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "madvise", SetLastError = true)]
    private static partial int Advise(nint address, nuint length, int advice);

    [LibraryImport("kernel32", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool VirtualLock(nint address, nuint length);
}
