using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.RegularExpressions;
using ClawBureau.Hosting.Files;

namespace ClawBureau.Hosting.Tls;

/// <summary>
/// A CA for one machine, so that TLS is never switched off: <c>ca.crt</c>, <c>ca.key</c>, and <c>NAME.crt</c>, <c>NAME.key</c> for
/// each service. Not for production, where a real CA writes the same files.
/// </summary>
public static partial class DevelopmentCa
{
    public const string TrustDomain = "claw.local";

    private static readonly TimeSpan CaLife = TimeSpan.FromDays(3650);
    private static readonly TimeSpan LeafLife = TimeSpan.FromDays(90);
    private static readonly TimeSpan ClockSkew = TimeSpan.FromHours(1);
    private static readonly TimeSpan LockWait = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Makes what is missing, renews what has less than a third of its life left or does not fit the CA, and leaves the rest alone.
    /// Processes on the same folder wait for each other.
    /// </summary>
    /// <param name="folder">Made when missing, closed to other users.</param>
    /// <param name="services">Names such as <c>issuer</c>; <c>operator</c> is the certificate of people.</param>
    /// <param name="time">Decides what has expired.</param>
    /// <param name="cancellationToken">Ends the wait for another process.</param>
    /// <exception cref="StartRefused">The folder cannot be used, or another process holds it for too long.</exception>
    public static async Task EnsureAsync(string folder, IReadOnlyCollection<string> services, TimeProvider time, CancellationToken cancellationToken)
    {
        foreach (var service in services)
        {
            if (!NamePattern().IsMatch(service) || service == "ca") throw new ArgumentException($"'{service}' is no service name.", nameof(services));
        }
        try
        {
            CreatePrivateFolder(folder);
            await using var held = await LockAsync(folder, time, cancellationToken);
            using var ca = UsableCa(folder, time) ?? MakeCa(folder, time);
            foreach (var service in services)
            {
                if (!IsUsableLeaf(folder, service, ca, time)) MakeLeaf(folder, service, ca, time);
            }
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            throw new StartRefused($"The certificate folder {folder} cannot be used ({problem.Message}): make it writable for this user.", problem);
        }
    }

    private static X509Certificate2 MakeCa(string folder, TimeProvider time)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var name = new X500DistinguishedName($"CN=Claw Bureau development CA {Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(4))}");
        var request = new CertificateRequest(name, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(X509BasicConstraintsExtension.CreateForCertificateAuthority(pathLengthConstraint: 0));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        var now = time.GetUtcNow();
        var ca = request.CreateSelfSigned(now - ClockSkew, now + CaLife);
        Write(folder, "ca", ca, key);
        return ca;
    }

    // No name constraints: BoringSSL, under many gRPC clients, refuses those for addresses; and no machine trusts this CA by itself.
    private static void MakeLeaf(string folder, string service, X509Certificate2 ca, TimeProvider time)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(new X500DistinguishedName($"CN={service}"), key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        names.AddDnsName(service);
        names.AddIpAddress(IPAddress.Loopback);
        names.AddIpAddress(IPAddress.IPv6Loopback);
        names.AddUri(new Uri(SpiffeId(service)));
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(X509BasicConstraintsExtension.CreateForEndEntity(critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(
            [new Oid(TrustAnchor.ServerAuthentication), new Oid(TrustAnchor.ClientAuthentication)], critical: false));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(ca, includeKeyIdentifier: true, includeIssuerAndSerial: false));
        var now = time.GetUtcNow();
        var serial = RandomNumberGenerator.GetBytes(16);
        serial[0] &= 0x7F; // positive
        using var leaf = request.Create(ca, now - ClockSkew, now + LeafLife, serial);
        Write(folder, service, leaf, key);
    }

    private static X509Certificate2? UsableCa(string folder, TimeProvider time)
    {
        var ca = Load(folder, "ca");
        // A leaf must not outlive its CA.
        if (ca is not null && ca.NotAfter.ToUniversalTime() - time.GetUtcNow() > LeafLife) return ca;
        ca?.Dispose();
        return null;
    }

    private static bool IsUsableLeaf(string folder, string service, X509Certificate2 ca, TimeProvider time)
    {
        using var leaf = Load(folder, service);
        if (leaf is null || leaf.NotAfter.ToUniversalTime() - time.GetUtcNow() < LeafLife / 3) return false;
        using var chain = new X509Chain { ChainPolicy = TrustAnchor.Load(Path.Combine(folder, "ca.crt")).PolicyFor(TrustAnchor.ServerAuthentication) };
        chain.ChainPolicy.VerificationTime = time.GetLocalNow().DateTime;
        return chain.Build(leaf) && leaf.IssuerName.RawData.AsSpan().SequenceEqual(ca.SubjectName.RawData)
            && PeerIdentity.Of(leaf, TrustDomain).Service?.SpiffeId == SpiffeId(service);
    }

    /// <returns>Null when a file is missing, broken, open to others, or the two do not fit.</returns>
    private static X509Certificate2? Load(string folder, string name)
    {
        var (certificate, key) = (Path.Combine(folder, $"{name}.crt"), Path.Combine(folder, $"{name}.key"));
        if (!File.Exists(certificate) || !File.Exists(key)) return null;
        try
        {
            PrivateFile.RequirePrivate(key);
            return X509Certificate2.CreateFromPemFile(certificate, key);
        }
        catch (Exception problem) when (problem is CryptographicException or ArgumentException or StartRefused)
        {
            return null;
        }
    }

    // The key first: a certificate never stands beside a key that is not its own for longer than between two renames.
    private static void Write(string folder, string name, X509Certificate2 certificate, ECDsa key)
    {
        PrivateFile.Replace(Path.Combine(folder, $"{name}.key"), key.ExportPkcs8PrivateKeyPem() + "\n", isSecret: true);
        PrivateFile.Replace(Path.Combine(folder, $"{name}.crt"), certificate.ExportCertificatePem() + "\n", isSecret: false);
    }

    private static string SpiffeId(string service) => $"spiffe://{TrustDomain}/{service}";

    private static void CreatePrivateFolder(string folder)
    {
        if (OperatingSystem.IsWindows()) Directory.CreateDirectory(folder);
        else Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    private static async Task<FileStream> LockAsync(string folder, TimeProvider time, CancellationToken cancellationToken)
    {
        var started = time.GetTimestamp();
        while (true)
        {
            try
            {
                return new FileStream(Path.Combine(folder, ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (time.GetElapsedTime(started) < LockWait)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(20), time, cancellationToken);
            }
        }
    }

    [GeneratedRegex(@"\A[a-z0-9][a-z0-9-]{0,62}\z")]
    private static partial Regex NamePattern();
}
