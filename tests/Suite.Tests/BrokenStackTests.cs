using System.Text.Json;
using ClawBureau.Stack;
using Npgsql;

namespace ClawBureau.Suite.Tests;

/// <summary>What `claw doctor` and `claw status` say of a stack that is broken on purpose: nothing here keeps it standing.</summary>
public sealed class BrokenStackTests(StackFixture fixture) : IClassFixture<StackFixture>
{
    private static readonly string[] Looked = ["dotnet", "ed25519", "postgresql", "disk", "files", "stack", "secrets", "database", "clock", "schema", "certificates", "keys"];

    [Fact]
    public async Task The_doctor_finds_what_was_broken_and_says_what_to_do()
    {
        var state = fixture.Stack.StateFolder;
        var healthy = await LookAsync();
        Assert.Equal(Looked.Concat(fixture.Stack.Services.Select(s => $"service.{s.Name}")).Order(), healthy.Keys.Order());
        Assert.DoesNotContain("problem", healthy.Values.Select(c => c.Severity));

        if (!OperatingSystem.IsWindows())
        {
            var key = Path.Combine(state, "secrets", "admin.key");
            File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead);
            Problem(await LookAsync(), "files", key, "chmod 600");
            File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }

        await using (var ledger = await fixture.OpenAdminAsync())
        {
            await using var behind = new NpgsqlCommand("CREATE TABLE aside AS SELECT * FROM migration.applied; DELETE FROM migration.applied WHERE version > 1", ledger);
            await behind.ExecuteNonQueryAsync();
            Problem(await LookAsync(), "schema", "schema version 1", "claw migrate");
            await using var again = new NpgsqlCommand("INSERT INTO migration.applied SELECT * FROM aside WHERE version > 1; DROP TABLE aside", ledger);
            await again.ExecuteNonQueryAsync();
        }
        Assert.DoesNotContain("problem", (await LookAsync()).Values.Select(c => c.Severity));

        var introspector = fixture.Stack.Introspector;
        introspector.Process.Kill();
        await introspector.Process.WaitForExitAsync();
        Problem(await LookAsync(), "service.introspector-0", $"process {introspector.Process.Id} is dead", introspector.LogFile);
        var status = await Claw.RunAsync("status", "--json", "--state", state);
        Assert.Equal((3, "dead"), (status.Code, JsonDocument.Parse(status.LastLine).RootElement.GetProperty("services").EnumerateArray()
            .Single(s => s.GetProperty("name").GetString() == "introspector-0").GetProperty("state").GetString()));

        await Assert.IsType<LocalPostgres>(fixture.Stack.Postgres).StopAsync();
        var dark = await LookAsync();
        Problem(dark, "database", "cannot be reached", "server.log");
        Assert.Equal("problem", dark["service.issuer-0"].Severity);
    }

    private async Task<Dictionary<string, (string Severity, string Told, string? Remedy)>> LookAsync()
    {
        var ran = await Claw.RunAsync("doctor", "--json", "--state", fixture.Stack.StateFolder);
        var told = JsonDocument.Parse(ran.LastLine).RootElement;
        var checks = told.GetProperty("checks").EnumerateArray().ToDictionary(
            c => c.GetProperty("name").GetString()!, c => (c.GetProperty("severity").GetString()!, c.GetProperty("told").GetString()!, c.GetProperty("remedy").GetString()));
        bool works = checks.Values.All(c => c.Item1 != "problem");
        Assert.Equal((works ? 0 : 1, works), (ran.Code, told.GetProperty("ok").GetBoolean()));
        return checks;
    }

    private static void Problem(Dictionary<string, (string Severity, string Told, string? Remedy)> found, string check, string told, string remedy)
    {
        Assert.Equal("problem", found[check].Severity);
        Assert.Contains(told, found[check].Told, StringComparison.Ordinal);
        Assert.Contains(remedy, found[check].Remedy, StringComparison.Ordinal);
    }
}
