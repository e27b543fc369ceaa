using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ClawBureau.Hosting.Files;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting.Tls;

/// <summary>A certificate with its key, from two PEM files; read again when they change, so that renewal needs no restart.</summary>
internal sealed class CertificateFile
{
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(10);

    private readonly ReloadingFile<SslStreamCertificateContext> files;

    /// <exception cref="StartRefused">The files are missing or do not fit together, or the key is open to other users.</exception>
    public CertificateFile(string certificateFile, string keyFile, TimeProvider time, ILogger logger) =>
        files = new([certificateFile, keyFile], () => Load(certificateFile, keyFile, time, logger), LookInterval, time, logger);

    public SslStreamCertificateContext Current => files.Current;

    private static SslStreamCertificateContext Load(string certificateFile, string keyFile, TimeProvider time, ILogger logger)
    {
        PrivateFile.RequirePrivate(keyFile, groupMayRead: true);
        X509Certificate2 certificate;
        var intermediates = new X509Certificate2Collection();
        try
        {
            certificate = Usable(X509Certificate2.CreateFromPemFile(certificateFile, keyFile));
            intermediates.ImportFromPemFile(certificateFile);
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException or CryptographicException or ArgumentException)
        {
            throw new StartRefused(
                $"{certificateFile} and {keyFile} are not a PEM certificate and its private key ({problem.Message}): correct the files.", problem);
        }

        intermediates.RemoveAt(0); // the certificate itself
        DateTimeOffset notAfter = certificate.NotAfter.ToUniversalTime();
        if (notAfter <= time.GetUtcNow())
            throw new StartRefused($"The certificate {certificateFile} has expired at {notAfter:O}: renew it.");
        Log.CertificateLoaded(logger, certificate.Subject, certificateFile, notAfter);
        if (notAfter - time.GetUtcNow() < TimeSpan.FromDays(7)) Log.CertificateExpiresSoon(logger, certificate.Subject, certificateFile, notAfter);
        return SslStreamCertificateContext.Create(certificate, intermediates, offline: true);
    }

    // Windows cannot use a key that exists only in memory for TLS; a round trip through PKCS #12 gives it one.
    private static X509Certificate2 Usable(X509Certificate2 certificate)
    {
        if (!OperatingSystem.IsWindows()) return certificate;
        using (certificate)
        {
            return X509CertificateLoader.LoadPkcs12(certificate.Export(X509ContentType.Pkcs12), null);
        }
    }
}
