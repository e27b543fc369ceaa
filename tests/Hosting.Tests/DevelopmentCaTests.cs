using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ClawBureau.Hosting.Tests.Processes;
using ClawBureau.Hosting.Tls;

namespace ClawBureau.Hosting.Tests;

public sealed class DevelopmentCaTests
{
    private readonly string folder = TemporaryFolder.Create();

    [Fact]
    public async Task A_second_run_changes_nothing()
    {
        await EnsureAsync(TimeProvider.System, "issuer");
        var before = Contents();
        await EnsureAsync(TimeProvider.System, "issuer");

        Assert.Equal(before, Contents());
        Assert.Equal([".lock", "ca.crt", "ca.key", "issuer.crt", "issuer.key"], Directory.GetFiles(folder).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Private_keys_are_closed_to_other_users()
    {
        if (OperatingSystem.IsWindows()) return;
        await EnsureAsync(TimeProvider.System, "issuer");

        foreach (var key in new[] { "ca.key", "issuer.key" })
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(folder, key)));
        }
    }

    [Fact]
    public async Task The_CA_signs_leaves_only_and_a_leaf_names_its_service()
    {
        await EnsureAsync(TimeProvider.System, "issuer");
        using var ca = Certificate("ca");
        using var leaf = Certificate("issuer");

        var constraints = ca.Extensions.OfType<X509BasicConstraintsExtension>().Single();
        Assert.Equal((true, true, true, 0), (constraints.Critical, constraints.CertificateAuthority, constraints.HasPathLengthConstraint, constraints.PathLengthConstraint));
        var caUsage = ca.Extensions.OfType<X509KeyUsageExtension>().Single();
        Assert.Equal((true, X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign), (caUsage.Critical, caUsage.KeyUsages));

        Assert.False(leaf.Extensions.OfType<X509BasicConstraintsExtension>().Single().CertificateAuthority);
        Assert.Equal(X509KeyUsageFlags.DigitalSignature, leaf.Extensions.OfType<X509KeyUsageExtension>().Single().KeyUsages);
        Assert.Equal(
            [TrustAnchor.ServerAuthentication, TrustAnchor.ClientAuthentication],
            leaf.Extensions.OfType<X509EnhancedKeyUsageExtension>().Single().EnhancedKeyUsages.OfType<Oid>().Select(usage => usage.Value!));
        var names = leaf.Extensions.OfType<X509SubjectAlternativeNameExtension>().Single();
        Assert.Equal(["localhost", "issuer"], names.EnumerateDnsNames());
        Assert.Equal(["127.0.0.1", "::1"], names.EnumerateIPAddresses().Select(address => address.ToString()));
        Assert.Equal("spiffe://claw.local/issuer", PeerIdentity.Of(leaf, "claw.local").Service!.SpiffeId);
    }

    [Fact]
    public async Task A_leaf_is_renewed_with_less_than_a_third_left_and_the_CA_is_kept()
    {
        var time = new ManualTime();
        await EnsureAsync(time, "issuer");
        var (ca, leaf) = (Text("ca.crt"), Text("issuer.crt"));

        time.Advance(TimeSpan.FromDays(59));
        await EnsureAsync(time, "issuer");
        Assert.Equal(leaf, Text("issuer.crt"));

        time.Advance(TimeSpan.FromDays(2));
        await EnsureAsync(time, "issuer");
        Assert.NotEqual(leaf, Text("issuer.crt"));
        Assert.Equal(ca, Text("ca.crt"));
    }

    [Theory]
    [InlineData("issuer.key")]
    [InlineData("issuer.crt")]
    [InlineData("ca.key")]
    public async Task A_broken_or_missing_file_is_made_again_with_what_hangs_on_it(string file)
    {
        await EnsureAsync(TimeProvider.System, "issuer");
        await File.WriteAllTextAsync(Path.Combine(folder, file), "broken");
        await EnsureAsync(TimeProvider.System, "issuer");

        using var ca = Certificate("ca");
        using var leaf = X509Certificate2.CreateFromPemFile(Path.Combine(folder, "issuer.crt"), Path.Combine(folder, "issuer.key"));
        Assert.Equal(ca.SubjectName.RawData, leaf.IssuerName.RawData);
    }

    [Fact]
    public async Task Processes_that_come_at_the_same_time_agree()
    {
        await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Run(() => EnsureAsync(TimeProvider.System, "issuer", $"service-{i}"))));

        using var ca = Certificate("ca");
        foreach (var name in Enumerable.Range(0, 8).Select(i => $"service-{i}").Append("issuer"))
        {
            using var leaf = Certificate(name);
            Assert.Equal(ca.SubjectName.RawData, leaf.IssuerName.RawData);
        }
    }

    [Theory]
    [InlineData("../x")]
    [InlineData("ca")]
    [InlineData("")]
    public async Task A_name_that_is_no_service_name_is_refused(string name) =>
        await Assert.ThrowsAsync<ArgumentException>(() => EnsureAsync(TimeProvider.System, name));

    [Fact]
    public async Task A_renewed_certificate_is_served_without_a_restart()
    {
        await EnsureAsync(TimeProvider.System, "issuer");
        var time = new ManualTime();
        await using var process = await RunningProcess.ProbeAsync(
            (_, _) => Task.FromResult("served"),
            settings: new Dictionary<string, string?>
            {
                ["CLAW_TLS_CERT_FILE"] = Path.Combine(folder, "issuer.crt"),
                ["CLAW_TLS_KEY_FILE"] = Path.Combine(folder, "issuer.key"),
            },
            time: time);
        async Task<string> CallAsync()
        {
            using var channel = Peers.PeerChannel.Create(process.Address, new Peers.PeerOptions
            {
                CaFile = Path.Combine(folder, "ca.crt"),
                UnaryDeadline = TimeSpan.FromHours(1), // the process's clock runs ahead
            });
            return await channel.ProbeAsync(CallKind.Unary);
        }
        Assert.Equal("served", await CallAsync());

        File.Delete(Path.Combine(folder, "ca.key")); // a new CA, and with it a new leaf: the old one would not be trusted any more
        await EnsureAsync(TimeProvider.System, "issuer");
        time.Advance(TimeSpan.FromSeconds(11));

        Assert.Equal("served", await CallAsync());
    }

    private Task EnsureAsync(TimeProvider time, params string[] services) => DevelopmentCa.EnsureAsync(folder, services, time, CancellationToken.None);

    private X509Certificate2 Certificate(string name) => X509CertificateLoader.LoadCertificateFromFile(Path.Combine(folder, $"{name}.crt"));

    private string Text(string file) => File.ReadAllText(Path.Combine(folder, file));

    private Dictionary<string, string> Contents() => Directory.GetFiles(folder, "*.*").ToDictionary(file => file, File.ReadAllText);
}
