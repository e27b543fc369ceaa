using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ClawBureau.Hosting.Tls;

/// <summary>The CA that decides who belongs to the suite; the machine's own trusted roots count for nothing.</summary>
internal sealed class TrustAnchor
{
    public const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
    public const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";

    private readonly X509Certificate2Collection roots = [];

    private TrustAnchor()
    {
    }

    /// <param name="path">PEM file with one certificate or, while one CA replaces another, several.</param>
    /// <exception cref="StartRefused">There is no certificate in it.</exception>
    public static TrustAnchor Load(string path)
    {
        var anchor = new TrustAnchor();
        try
        {
            anchor.roots.ImportFromPemFile(path);
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new StartRefused($"The CA file {path} cannot be read ({problem.Message}): name a PEM file with the CA's certificate.", problem);
        }
        return anchor.roots.Count > 0 ? anchor : throw new StartRefused($"The CA file {path} holds no certificate: name a PEM file with the CA's certificate.");
    }

    /// <summary>How the other side's chain is judged: by this CA, for this use, without asking anybody over the network.</summary>
    /// <param name="usage">The extended key usage that the certificate must have.</param>
    public X509ChainPolicy PolicyFor(string usage)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
            DisableCertificateDownloads = true,
        };
        policy.CustomTrustStore.AddRange(roots);
        policy.ApplicationPolicy.Add(new Oid(usage));
        return policy;
    }
}
