using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace ClawBureau.Hosting.Tests.Processes;

internal static class Handlers
{
    /// <summary>An HTTP handler of a foreign client: trusts the CA of the folder, has nothing else of ours.</summary>
    public static SocketsHttpHandler Trusting(string folder)
    {
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.ImportFromPemFile(Path.Combine(folder, "ca.crt"));
        return new SocketsHttpHandler { SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy } };
    }
}
