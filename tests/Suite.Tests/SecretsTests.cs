using System.Globalization;
using System.Runtime.Versioning;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Suite.Tests;

[Collection(SharedStack.Name)]
public sealed class SecretsTests(StackFixture fixture)
{
    private const UnixFileMode Owner = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    [Fact]
    [UnsupportedOSPlatform("windows")]
    public void Every_file_that_holds_a_secret_is_its_owners_alone()
    {
        var state = fixture.Stack.StateFolder;
        string[] secrets =
        [
            Path.Combine(state, "stack.json"),
            .. Directory.GetFiles(Path.Combine(state, "secrets")),
            .. Directory.GetFiles(Path.Combine(state, "tls"), "*.key"),
            Path.Combine(state, "postgres", "admin.password"),
        ];
        Assert.True(secrets.Length > 6);
        foreach (var file in secrets) Assert.True(File.GetUnixFileMode(file) == (UnixFileMode.UserRead | UnixFileMode.UserWrite), $"{file} has mode {File.GetUnixFileMode(file)}");
        foreach (var folder in (string[])["secrets", "tls", "logs", "postgres"]) Assert.Equal(Owner, File.GetUnixFileMode(Path.Combine(state, folder)));
    }

    [Fact]
    [UnsupportedOSPlatform("windows")]
    public void Postgres_trusts_nobody_and_its_socket_is_out_of_others_reach()
    {
        var rules = File.ReadLines(Path.Combine(fixture.Stack.StateFolder, "postgres", "data", "pg_hba.conf"))
            .Select(l => l.Trim()).Where(l => l.Length > 0 && l[0] != '#').Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^1]).ToList();
        Assert.NotEmpty(rules);
        Assert.All(rules, method => Assert.Equal("scram-sha-256", method));

        var socket = new NpgsqlConnectionStringBuilder(fixture.Stack.Database.Admin).Host!;
        Assert.StartsWith("/", socket, StringComparison.Ordinal);
        Assert.Equal(Owner, File.GetUnixFileMode(socket));
    }

    [Fact]
    [SupportedOSPlatform("linux")]
    public void No_process_dumps_core_and_the_Issuers_seeds_are_locked_in_memory()
    {
        if (!OperatingSystem.IsLinux()) return; // proc(5) tells it
        foreach (var service in fixture.Stack.Services) Assert.Equal(["0", "0"], Fields(service.Process.Id, "limits", "Max core file size")[..2]);
        Assert.InRange(int.Parse(Fields(fixture.Stack.Issuer.Process.Id, "status", "VmLck:")[0], CultureInfo.InvariantCulture), 4, 1024); // kB: a page or two
        Assert.Equal("0", Fields(fixture.Stack.Introspector.Process.Id, "status", "VmLck:")[0]);    // it has none

        static string[] Fields(int process, string file, string name) =>
            File.ReadLines($"/proc/{process}/{file}").Single(line => line.StartsWith(name, StringComparison.Ordinal))[name.Length..].Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
    }

    [Fact]
    public async Task No_log_of_a_service_holds_a_token_a_key_or_a_password()
    {
        var issued = await fixture.Issuance.IssueTokenAsync(StackFixture.Request("logged"));
        await fixture.Introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = issued.Token });
        await fixture.Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { Token = issued.Token } } });
        var refused = StackFixture.Request("");
        refused.Scope[0] = issued.Token[..100];
        await Assert.ThrowsAsync<Refusal>(async () => await fixture.Issuance.IssueTokenAsync(refused));

        var state = fixture.Stack.StateFolder;
        string[] secrets =
        [
            .. issued.Token.Split('.')[1..],
            issued.Token[..100],
            fixture.Stack.AdminKey,
            File.ReadAllText(Directory.GetFiles(Path.Combine(state, "secrets", "signing-keys")).Single()).Trim(),
            .. ((string[])[fixture.Stack.Database.Admin, fixture.Stack.Database.Issuer, fixture.Stack.Database.Introspector]).Select(c => new NpgsqlConnectionStringBuilder(c).Password!),
        ];
        Assert.All(secrets, s => Assert.True(s.Length > 30));
        var logs = fixture.Stack.Services.Select(s => s.LogFile).Append(Path.Combine(state, "postgres", "server.log")).ToDictionary(f => f, File.ReadAllText);
        Assert.Contains(logs.Values, l => l.Contains(issued.TokenHash, StringComparison.Ordinal));      // these are the logs of what was done
        foreach (var (file, log) in logs)
            foreach (var secret in secrets)
                Assert.False(log.Contains(secret, StringComparison.Ordinal), $"{file} holds a secret that begins with {secret[..4]}");
    }
}
