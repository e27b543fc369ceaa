using System.Diagnostics;
using System.Text.Json;

namespace ClawBureau.Suite.Tests;

/// <summary>The programs in examples/, as another team would run them: processes of their own, against a whole stack.</summary>
internal static class Example
{
    private const string Listens = "Now listening on: ";

    /// <summary>One that knows the stack by an admin key.</summary>
    public static ProcessStartInfo OfPerson(string name, StackFixture fixture, params string[] arguments) => Describe(name, arguments, new()
    {
        ["CLAW_ISSUER"] = fixture.Stack.Issuer.Address.ToString(),
        ["CLAW_INTROSPECTOR"] = fixture.Stack.Introspector.Address.ToString(),
        ["CLAW_TLS_CA_FILE"] = fixture.Stack.CaFile,
        ["CLAW_ADMIN_KEY"] = fixture.Stack.AdminKey,
    });

    /// <summary>One that serves, and knows the stack by a certificate.</summary>
    public static async Task<RunningService> StartServiceAsync(string name, StackFixture fixture)
    {
        using var stack = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(fixture.Stack.StateFolder, "stack.json")));
        var running = new RunningClaw(Describe(name, [], new()
        {
            ["ASPNETCORE_URLS"] = "http://127.0.0.1:0",
            ["CLAW_ISSUER"] = fixture.Stack.Issuer.Address.ToString(),
            ["CLAW_INTROSPECTOR"] = fixture.Stack.Introspector.Address.ToString(),
            ["CLAW_TLS_CA_FILE"] = fixture.Stack.CaFile,
            [$"{name.ToUpperInvariant()}_CERT_FILE"] = stack.RootElement.GetProperty("client_cert_file").GetString(),
            [$"{name.ToUpperInvariant()}_KEY_FILE"] = stack.RootElement.GetProperty("client_key_file").GetString(),
        }));
        try
        {
            await running.PrintsAsync(Listens);
            await running.PrintsAsync("Application started");
            var line = running.Out.Split('\n').First(l => l.Contains(Listens, StringComparison.Ordinal));
            return new RunningService(running, new Uri(line[(line.IndexOf(Listens, StringComparison.Ordinal) + Listens.Length)..].Trim()));
        }
        catch
        {
            running.Dispose();
            throw;
        }
    }

    private static ProcessStartInfo Describe(string name, string[] arguments, Dictionary<string, string?> environment) =>
        Claw.Describe(Claw.Dotnet, [ProgramOf(name), .. arguments], environment);

    private static string ProgramOf(string name)
    {
        var here = new DirectoryInfo(AppContext.BaseDirectory);
        string[] candidates =
        [
            Path.Combine(here.FullName, "..", "..", name, here.Name, $"ClawBureau.{name}.dll"),                    // --artifacts-path
            Path.Combine(Claw.Root, "examples", name, "bin", here.Parent!.Name, here.Name, $"ClawBureau.{name}.dll"),
        ];
        return candidates.First(File.Exists);
    }
}

/// <summary>An example that serves, and where.</summary>
internal sealed record RunningService(RunningClaw Process, Uri Address) : IDisposable
{
    public void Dispose() => Process.Dispose();
}
