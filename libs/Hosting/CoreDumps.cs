using System.Runtime.InteropServices;

namespace ClawBureau.Hosting;

/// <summary>
/// A core dump holds whatever the process held: seeds, certificate keys, tokens. So its limit is set to nothing, and on Linux the process is
/// also marked as not to be dumped: a limit alone does not bind a handler that the kernel pipes dumps to. Children of the process inherit the limit.
/// </summary>
internal static unsafe partial class CoreDumps
{
    private const int SetDumpable = 4;      // PR_SET_DUMPABLE
    private const int CoreLimit = 4;        // RLIMIT_CORE, on Linux and macOS

    /// <returns>Null, or what the system would not do.</returns>
    public static string? TurnOff()
    {
        if (OperatingSystem.IsWindows()) return null;       // dumps are the system's error reporting there, which asks its own settings
        try
        {
            var none = stackalloc nuint[2] { 0, 0 };        // struct rlimit: soft, hard
            if (SetLimit(CoreLimit, none) != 0) return $"setrlimit: {Marshal.GetLastPInvokeErrorMessage()}";
            return OperatingSystem.IsLinux() && Control(SetDumpable, 0, 0, 0, 0) != 0 ? $"prctl: {Marshal.GetLastPInvokeErrorMessage()}" : null;
        }
        catch (Exception missing) when (missing is DllNotFoundException or EntryPointNotFoundException)
        {
            return missing.Message;
        }
    }

    [LibraryImport("libc", EntryPoint = "setrlimit", SetLastError = true)]
    private static partial int SetLimit(int resource, nuint* limit);

    [LibraryImport("libc", EntryPoint = "prctl", SetLastError = true)]
    private static partial int Control(int option, nuint a, nuint b, nuint c, nuint d);
}
