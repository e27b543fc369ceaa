using ClawBureau.Hosting.Tls;

namespace ClawBureau.Hosting.Tests.Processes;

/// <summary>Two CAs with certificates, made once for all tests.</summary>
internal static class Certificates
{
    private static readonly Lazy<Task<string>> OursMade = new(() => MakeAsync());
    private static readonly Lazy<Task<string>> OthersMade = new(() => MakeAsync());

    /// <summary>The folder of the CA that the processes under test trust.</summary>
    public static Task<string> OursAsync() => OursMade.Value;

    /// <summary>The folder of a CA that nobody trusts.</summary>
    public static Task<string> OthersAsync() => OthersMade.Value;

    private static async Task<string> MakeAsync()
    {
        var folder = TemporaryFolder.Create();
        await DevelopmentCa.EnsureAsync(folder, ["issuer", "verifier", "edge", "operator"], TimeProvider.System, CancellationToken.None);
        return folder;
    }
}
