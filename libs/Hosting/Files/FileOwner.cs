using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace ClawBureau.Hosting.Files;

/// <summary>Whose a file is: .NET tells its mode, not its owner.</summary>
internal static partial class FileOwner
{
    private const int EmptyPath = 0x1000;       // AT_EMPTY_PATH: the descriptor itself
    private const uint WantUid = 0x8;           // STATX_UID

    /// <summary>True when the open file belongs to the user this process runs as. Asked of the descriptor, not of a name that may come to mean another file.</summary>
    /// <param name="file">Open.</param>
    /// <param name="path">Its name, for systems that cannot be asked about a descriptor here.</param>
    public static bool IsOurs(SafeFileHandle file, string path)
    {
        if (OperatingSystem.IsWindows()) return true;       // access lists are inherited from the folder there
        if (OperatingSystem.IsLinux())
            return Statx(file, "", EmptyPath, WantUid, out var status) == 0 && (status.Mask & WantUid) != 0 && status.Uid == GetEffectiveUser();
        // POSIX: exists, and is owned by the effective user.
        using var test = Process.Start(new ProcessStartInfo("test", ["-O", path])) ?? throw new InvalidOperationException("the program `test` could not be started");
        test.WaitForExit();
        return test.ExitCode == 0;
    }

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial uint GetEffectiveUser();

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(SafeFileHandle folder, string path, int flags, uint mask, out FileStatus status);

    /// <summary>struct statx of Linux, the same on every architecture.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct FileStatus
    {
        [FieldOffset(0)]
        public uint Mask;

        [FieldOffset(20)]
        public uint Uid;
    }
}
