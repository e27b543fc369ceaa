using System.Text.Json;

namespace ClawBureau.Suite.Tests;

/// <summary>`claw policy` as docs/policy.md tells it, on a stack of its own: what it puts judges everybody.</summary>
public sealed class PolicyCommandTests(StackFixture fixture) : IClassFixture<StackFixture>
{
    private Task<Ran> RunAsync(string[] arguments, string input = "") => Claw.RunAsync([.. arguments, "--state", fixture.Stack.StateFolder], null, input);

    [Fact]
    public async Task A_policy_is_read_tried_put_and_listed()
    {
        var configured = await RunAsync(["policy", "get"]);
        Assert.True(configured.Code == 0, configured.All);
        var document = JsonDocument.Parse(configured.Out).RootElement;
        Assert.True(document.GetProperty("tiers").TryGetProperty("default", out _));
        Assert.Contains("judges now", configured.Error, StringComparison.Ordinal);
        Assert.Contains("by the configuration", configured.Error, StringComparison.Ordinal);
        var before = document.GetProperty("version").GetString()!;

        const string candidate = """{"version":"try-1","tiers":{"default":{"allowed_scope_prefixes":["proxy:","clawproxy:"],"max_ttl_seconds":60}}}""";
        string[] check = ["policy", "check", "--policy", "-", "--sub", "did:key:zAgent", "--aud", "clawproxy.example", "--scope", "clawproxy:call"];
        var allowed = await RunAsync(check, candidate);
        Assert.True(allowed.Code == 0, allowed.All);
        Assert.StartsWith("allowed\n", allowed.Out, StringComparison.Ordinal);
        Assert.Contains("tiers[default].allowed_scope_prefixes[1]", allowed.Out, StringComparison.Ordinal);
        Assert.Contains("1 of 1 allowed by version try-1", allowed.Error, StringComparison.Ordinal);
        var refused = await RunAsync([.. check, "--ttl", "2m"], candidate);
        Assert.True(refused.Code == 1, refused.All);
        Assert.Contains("(TTL_TOO_LONG)", refused.Out, StringComparison.Ordinal);
        Assert.Contains("tiers[default].max_ttl_seconds", refused.Out, StringComparison.Ordinal);

        var folder = Directory.CreateTempSubdirectory("claw-policy-").FullName;
        var (policy, requests) = (Path.Combine(folder, "policy.json"), Path.Combine(folder, "requests.json"));
        await File.WriteAllTextAsync(policy, candidate);
        await File.WriteAllTextAsync(requests, """
            [{"sub":"s","aud":"a","scope":["proxy:x"]}, {"sub":"s","aud":["a","b"],"scope":["admin:x"],"ttl_sec":30}]
            """);
        var file = await RunAsync(["policy", "check", "--policy", policy, "--file", requests, "--json"]);
        Assert.True(file.Code == 1, file.All);
        var decisions = file.Out.TrimEnd('\n').Split('\n').Select(line => JsonDocument.Parse(line).RootElement).ToList();
        Assert.Equal([(true, null), (false, "SCOPE_NOT_ALLOWED")], decisions.Select(d => (d.GetProperty("allowed").GetBoolean(), d.GetProperty("reason").GetString())));

        Assert.True((await RunAsync(["policy", "put", policy, "--expect", "another"])).Code == 1);
        var put = await RunAsync(["policy", "put", policy, "--expect", before, "--reason", "a minute is enough"]);
        Assert.True(put.Code == 0, put.All);
        Assert.StartsWith("judges now\n", put.Out, StringComparison.Ordinal);
        var again = await RunAsync(["policy", "put", policy, "--expect", before, "--json"]);
        Assert.Equal((0, "try-1"), (again.Code, JsonDocument.Parse(again.Out).RootElement.GetProperty("version").GetString()));

        var issued = await RunAsync(["token", "issue", "--sub", "did:key:zAgent", "--aud", "clawproxy.example", "--scope", "clawproxy:call", "--json"]);
        Assert.Equal(("try-1", 60L), (JsonDocument.Parse(issued.Out).RootElement.GetProperty("policy_version").GetString(),
            JsonDocument.Parse(issued.Out).RootElement.GetProperty("exp").GetInt64() - JsonDocument.Parse(issued.Out).RootElement.GetProperty("iat").GetInt64()));

        var history = await RunAsync(["policy", "history"]);
        var lines = history.Out.TrimEnd('\n').Split('\n');
        Assert.Equal((2, true, true), (lines.Length, lines[0].StartsWith("* try-1 ", StringComparison.Ordinal), lines[1].StartsWith($"  {before} ", StringComparison.Ordinal)));
        Assert.EndsWith("a minute is enough", lines[0], StringComparison.Ordinal);
        // What get prints can be put again under another name.
        var current = await RunAsync(["policy", "get", "try-1"]);
        await File.WriteAllTextAsync(policy, current.Out.Replace("\"try-1\"", "\"try-2\"", StringComparison.Ordinal));
        Assert.Equal(0, (await RunAsync(["policy", "put", policy])).Code);
        Directory.Delete(folder, recursive: true);
    }

    [Theory]
    [InlineData("""{"tiers":{"default":{"max_ttl":1}}}""", "tiers.default.max_ttl")]
    [InlineData("""{"tiers":{"default":{}}}""", "version")]
    [InlineData("{", "document")]
    public async Task A_document_that_is_none_is_wrong_usage(string document, string named)
    {
        var ran = await RunAsync(["policy", "put", "-"], document);
        Assert.True(ran.Code == 2, ran.All);
        Assert.Contains(named, ran.Error, StringComparison.Ordinal);
    }
}
