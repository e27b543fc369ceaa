using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ClawBureau.Cli.Doctor;
using ClawBureau.Protos.Keys.V1;
using Google.Protobuf.WellKnownTypes;
using KeyState = ClawBureau.Protos.Keys.V1.KeyState;

namespace ClawBureau.Cli.Tests;

/// <summary>What the doctor makes of what he finds. That he finds it, on a stack that is broken on purpose, is shown in Suite.Tests.</summary>
public sealed class DoctorTests : IDisposable
{
    private static readonly DateTimeOffset Now = new(2026, 1, 31, 12, 0, 0, TimeSpan.Zero);
    private readonly string _folder = Directory.CreateTempSubdirectory("claw-doctor-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(40, nameof(Severity.Ok))]
    [InlineData(-600, nameof(Severity.Warning))]
    [InlineData(2000, nameof(Severity.Problem))]
    [InlineData(-5000, nameof(Severity.Problem))]
    public void A_clock_that_is_off_is_told_before_issuers_refuse_to_sign(int milliseconds, string severity)
    {
        var found = RunningStack.Clock(TimeSpan.FromMilliseconds(milliseconds));
        Assert.Equal(severity, found.Severity.ToString());
        Assert.Contains(milliseconds < 0 ? "behind" : "ahead of", found.Told, StringComparison.Ordinal);
        Assert.Equal(severity == nameof(Severity.Ok), found.Remedy is null);
    }

    [Theory]
    [InlineData(60, nameof(Severity.Ok))]
    [InlineData(20, nameof(Severity.Warning))]
    [InlineData(-1, nameof(Severity.Problem))]
    public void The_certificate_that_expires_first_is_told(int days, string severity)
    {
        Write("issuer", 80);
        Write("edge", days);
        var found = RunningStack.Certificates(_folder, new FixedTime(), "");
        Assert.Equal(severity, found.Severity.ToString());
        Assert.Contains("edge.crt", found.Told, StringComparison.Ordinal);
    }

    [Fact]
    public void A_certificate_that_cannot_be_read_and_a_folder_without_any_are_problems()
    {
        Assert.Equal(Severity.Problem, RunningStack.Certificates(_folder, new FixedTime(), "").Severity);
        File.WriteAllText(Path.Combine(_folder, "edge.crt"), "half a certifi");
        var found = RunningStack.Certificates(_folder, new FixedTime(), "");
        Assert.Equal((Severity.Problem, true), (found.Severity, found.Told.Contains("edge.crt", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("0", "4", nameof(Severity.Ok), "locked in memory")]
    [InlineData("unlimited", "4", nameof(Severity.Warning), "core dump")]
    [InlineData("0", "0", nameof(Severity.Warning), "swapped out")]
    public void Memory_that_may_come_to_a_disk_is_told(string coreSize, string lockedKilobytes, string severity, string told)
    {
        if (!OperatingSystem.IsLinux()) return; // proc(5) tells it
        foreach (var (pid, limit, locked) in new[] { (11, coreSize, lockedKilobytes), (12, "0", "0") })
        {
            var folder = Directory.CreateDirectory(Path.Combine(_folder, $"{pid}")).FullName;
            File.WriteAllText(Path.Combine(folder, "limits"), $"Limit                     Soft Limit           Hard Limit           Units     \nMax core file size        {limit}                    {limit}                    bytes     \n");
            File.WriteAllText(Path.Combine(folder, "status"), $"Name:\tdotnet\nVmLck:\t       {locked} kB\n");
        }
        var found = RunningStack.Secrets([("issuer", 11), ("edge", 12), ("edge", 13)], _folder);     // of the last nothing is known: it is gone
        Assert.Equal(severity, found.Severity.ToString());
        Assert.Contains(told, found.Told, StringComparison.Ordinal);
        Assert.Equal(severity == nameof(Severity.Ok), found.Remedy is null);
        if (found.Remedy is not null) Assert.Contains("11", found.Told, StringComparison.Ordinal);
    }

    [Fact]
    public void Keys_without_an_active_one_are_a_problem_and_those_without_an_end_or_past_it_a_warning()
    {
        var active = new Key { Kid = "aaaa", State = KeyState.Active, CanSign = true };
        Assert.Equal(Severity.Ok, RunningStack.Keys(Set("aaaa", active, Old(Now.AddHours(1))), Now).Severity);
        Assert.Equal(Severity.Problem, RunningStack.Keys(Set("", Old(Now.AddHours(1))), Now).Severity);
        Assert.Equal(Severity.Problem, RunningStack.Keys(Set("aaaa", new Key { Kid = "aaaa", State = KeyState.Active }), Now).Severity);
        Assert.Equal(Severity.Warning, RunningStack.Keys(Set("aaaa", active, Old(null)), Now).Severity);
        var past = RunningStack.Keys(Set("aaaa", active, Old(Now.AddSeconds(-1))), Now);
        Assert.Equal((Severity.Warning, true), (past.Severity, past.Told.Contains("bbbb verify-only until", StringComparison.Ordinal)));

        static Key Old(DateTimeOffset? until) => new() { Kid = "bbbb", State = KeyState.VerifyOnly, NotAfter = until is { } end ? Timestamp.FromDateTimeOffset(end) : null };
    }

    [Fact]
    public void A_port_that_somebody_holds_is_named()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        int port = ((IPEndPoint)listener.LocalEndpoint).Port;
        var found = Machine.Ports(port);
        Assert.Equal(Severity.Problem, found.Severity);
        Assert.Contains($"{port}", found.Told, StringComparison.Ordinal);
        Assert.Contains("--port-base", found.Remedy, StringComparison.Ordinal);
    }

    [Fact]
    public void This_machine_signs_and_has_room()
    {
        Assert.NotEqual(Severity.Problem, Machine.Signatures().Severity);
        Assert.NotEqual(Severity.Problem, Machine.Disk(Path.Combine(_folder, "not", "yet")).Severity);
        Assert.Equal(Severity.Ok, Machine.Files(Path.Combine(_folder, "not", "yet")).Severity);
    }

    private static KeySet Set(string active, params Key[] keys) => new() { ActiveKid = active, Keys = { keys } };

    private void Write(string name, int days)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256).CreateSelfSigned(Now.AddDays(-90), Now.AddDays(days));
        File.WriteAllText(Path.Combine(_folder, name + ".crt"), certificate.ExportCertificatePem());
    }

    private sealed class FixedTime : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => Now;
    }
}
