using System.Globalization;
using ClawBureau.Stack;

namespace ClawBureau.Suite.Tests;

/// <summary>
/// Clients that share no code with the suite (tests/foreign): they have the .proto files, or what reflection tells, or the HTTP
/// contract. Each prints a line per check and ends with 0 when all held.
/// </summary>
[Collection(SharedStack.Name)]
public sealed class ForeignClientTests(StackFixture fixture)
{
    [NodeFact]
    public Task Grpc_js_issues_introspects_and_hears_of_a_revocation_from_the_proto_files_alone() => HoldsAsync("node", 6, "grpc.mjs");

    [NodeFact]
    public Task Jose_verifies_an_issued_token_against_the_published_keys() => HoldsAsync("node", 4, "jose.mjs");

    [NodeFact]
    public Task The_plugin_of_the_page_for_OpenClaw_gets_checks_and_revokes_tokens() => HoldsAsync("node", 9, "plugin.mjs");

    [GrpcioFact]
    public Task Grpcio_does_the_same_by_reflection_alone() => HoldsAsync(GrpcioFactAttribute.Python!, 4, "reflection.py");

    [CurlFact]
    public Task Curl_walks_the_runbook_s_revocation_checklist() => HoldsAsync("bash", 5, "runbook.sh");

    private async Task HoldsAsync(string program, int checks, string script)
    {
        var start = Claw.Describe(program, [Path.Combine(ForeignClients.Folder, script), Path.Combine(fixture.Stack.StateFolder, "stack.json")], null);
        using var client = new RunningClaw(start);
        var ran = await client.WaitAsync(TimeSpan.FromSeconds(60));
        Assert.True(ran.Code == 0, ran.All);
        var lines = ran.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.True(lines.Length >= checks, ran.All);
        Assert.All(lines, line => Assert.StartsWith("ok ", line, StringComparison.Ordinal));
    }
}

/// <summary>What the foreign clients need of a machine. What it lacks is skipped and told, and with CI=true that fails the run.</summary>
internal static class ForeignClients
{
    public static string Folder { get; } = Path.Combine(Claw.Root, "tests", "foreign");

    public static bool Runs(string program, params string[] arguments) => Programs.Run(program, arguments, TimeSpan.FromSeconds(20)).Code == 0;
}

/// <summary>A test of a client that runs on Node.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class NodeFactAttribute : FactAttribute
{
    private const int Wanted = 20;

    public NodeFactAttribute() => Skip = Missing;

    private static readonly string? Missing =
        Programs.Run("node", ["--version"], TimeSpan.FromSeconds(20)) is not (0, ['v', .. var version]) || !int.TryParse(version.Split('.')[0], CultureInfo.InvariantCulture, out int major) || major < Wanted
            ? $"Node {Wanted} or later is not on PATH"
            : Directory.Exists(Path.Combine(ForeignClients.Folder, "node_modules")) ? null : "run `npm ci` in tests/foreign";
}

/// <summary>A test of a client that runs on Python with grpcio.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class GrpcioFactAttribute : FactAttribute
{
    public GrpcioFactAttribute() => Skip = Python is null ? "no Python here has grpcio (Debian: python3-grpcio)" : null;

    public static string? Python { get; } = Array.Find(["python3", "/usr/bin/python3"], python => ForeignClients.Runs(python, "-c", "import grpc, google.protobuf"));
}

/// <summary>A test of a shell script with curl.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class CurlFactAttribute : FactAttribute
{
    public CurlFactAttribute() => Skip = ForeignClients.Runs("curl", "--version") ? null : "curl is not on PATH";
}
