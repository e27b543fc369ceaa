using System.Text.Json;
using ClawBureau.Testing;

namespace ClawBureau.Suite.Tests;

/// <summary>docs/cli.md, held to the command's own grammar and to what its verbs print.</summary>
[Collection(SharedStack.Name)]
public sealed class CliPageTests(StackFixture fixture)
{
    private const string Agent = "did:key:z6MkexampleAgent";

    /// <summary>Those the launcher runs itself.</summary>
    private static readonly string[] Launcher = ["test", "bench"];

    /// <summary>Explained once, for all verbs.</summary>
    private static readonly string[] Common = ["--state", "--issuer", "--introspector", "--verifier", "--audit-sink", "--ca-file", "--admin-key-file", "--json"];

    [Fact]
    public async Task Every_verb_has_a_section_with_its_options_its_exit_codes_and_its_json()
    {
        var grammar = JsonDocument.Parse((await Claw.RunAsync("grammar")).LastLine).RootElement.GetProperty("verbs").EnumerateArray().ToList();
        var missing = new List<string>();
        foreach (var verb in grammar)
        {
            var name = verb.GetProperty("name").GetString()!;
            var options = Texts(verb, "options");
            if (!CliPage.Sections.TryGetValue(name, out var section))
            {
                missing.Add($"a section '## claw {name}': what it does ({verb.GetProperty("description").GetString()}), its arguments ({string.Join(", ", Texts(verb, "arguments"))}) and options "
                    + $"({string.Join(", ", options.Except(Common))}), a line 'Exit codes: 0 …; 1 …'{(options.Contains("--json") ? ", and a ```json block with one answer" : "")}");
                continue;
            }
            missing.AddRange(options.Except(Common).Where(o => !section.Names(o)).Select(o => $"in '## claw {name}': the option `{o}` and what it means"));
            missing.AddRange(Texts(verb, "arguments").Where(a => !section.Text.Contains(a, StringComparison.OrdinalIgnoreCase)).Select(a => $"in '## claw {name}': the argument {a}"));
            if (!section.TellsExitCodes) missing.Add($"in '## claw {name}': a line 'Exit codes: 0 …; 1 …' with what each means for this verb");
            if (options.Contains("--json") && section.Json is null) missing.Add($"in '## claw {name}': a ```json block with one answer as --json prints it");
            if (!options.Contains("--json") && section.Json is not null) missing.Add($"in '## claw {name}': no ```json block, it has no --json");
        }
        var verbs = grammar.Select(v => v.GetProperty("name").GetString()!).Concat(Launcher).ToList();
        missing.AddRange(CliPage.Sections.Keys.Except(verbs).Select(gone => $"no section '## claw {gone}': there is no such verb"));
        Assert.True(missing.Count == 0, "docs/cli.md should have\n  " + string.Join("\n  ", missing));
    }

    [Fact]
    public void What_holds_for_all_verbs_is_told_once()
    {
        foreach (var option in Common) Assert.True(new CliSection(CliPage.Preface, null).Names(option), $"the preface does not explain {option}");
        foreach (var code in (string[])["**0**", "**1**", "**2**", "**3**"]) Assert.Contains(code, CliPage.Preface, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("token issue", 0, "--sub", Agent, "--aud", "a", "--scope", "clawproxy:call", "--state", "STATE")]
    [InlineData("token introspect", 0, "TOKEN", "--state", "STATE")]
    [InlineData("token inspect", 0, "TOKEN")]
    [InlineData("revoke", null, "--token", "TOKEN", "--mission", "a mission of the page", "--wait", "5s", "--state", "STATE")]
    [InlineData("lift", 0, "--mission", "a mission of the page", "--state", "STATE")]
    [InlineData("watch", 0, "--from", "CURSOR", "--count", "1", "--state", "STATE")]
    [InlineData("status", 0, "--state", "STATE")]
    [InlineData("doctor", null, "--state", "STATE")]
    [InlineData("keys list", 0, "--state", "STATE")]
    [InlineData("keys contract", 0, "--state", "STATE")]
    [InlineData("keys jwks", 0, "--state", "STATE")]
    [InlineData("keys smoke", 0, "--state", "STATE")]
    [InlineData("policy history", 0, "--count", "1", "--state", "STATE")]
    [InlineData("policy check", 0, "--sub", Agent, "--aud", "a", "--scope", "clawproxy:call", "--state", "STATE")]
    [InlineData("audit list", 0, "--hash", "HASH", "--limit", "1", "--state", "STATE")]
    public async Task The_json_shown_has_the_members_that_are_printed(string verb, int? code, params string[] arguments)
    {
        var issued = await Claw.RunAsync("token", "issue", "--sub", Agent, "--aud", "a", "--scope", "clawproxy:call", "--state", fixture.Stack.StateFolder);
        Assert.True(issued.Code == 0, issued.All);
        var token = issued.Out.Trim();
        if (verb == "lift") await Claw.RunAsync("revoke", "--mission", arguments[1], "--state", fixture.Stack.StateFolder);
        if (verb == "watch") await Claw.RunAsync("revoke", "--token", token, "--reason", "shown", "--state", fixture.Stack.StateFolder);
        var now = JsonDocument.Parse((await Claw.RunAsync("token", "introspect", token, "--json", "--state", fixture.Stack.StateFolder)).LastLine).RootElement;
        var revision = now.GetProperty("revision");
        var filled = arguments.Select(a => a
            .Replace("STATE", fixture.Stack.StateFolder, StringComparison.Ordinal).Replace("TOKEN", token, StringComparison.Ordinal)
            .Replace("HASH", now.GetProperty("token_hash").GetString(), StringComparison.Ordinal)
            .Replace("CURSOR", $"{revision.GetProperty("epoch").GetString()}:{revision.GetProperty("revocation_seq").GetInt64() - 1}", StringComparison.Ordinal));
        Ran? ran = null;
        await Eventually.HoldsAsync($"{verb} prints something", async () =>         // the audit log has an act a moment after the ledger
        {
            ran = await Claw.RunAsync([.. verb.Split(' '), "--json", .. filled], null);
            return ran.Out.Length > 0 || ran.Code != 0;
        });

        Assert.True(ran!.Out.Length > 0 && (code is null || code == ran.Code), ran.All);
        var shown = CliPage.Sections[verb].Json!.Value;
        var printed = JsonDocument.Parse(ran.LastLine).RootElement;
        // The claims of a token are its own business; what a check found may be nothing.
        Assert.Equal(Members(shown), Members(printed));
    }

    private static IEnumerable<string> Members(JsonElement answer) =>
        CliPage.Shape(answer).Where(m => !m.StartsWith(".header.", StringComparison.Ordinal) && !m.StartsWith(".payload.", StringComparison.Ordinal)).Order(StringComparer.Ordinal);

    private static List<string> Texts(JsonElement verb, string member) => [.. verb.GetProperty(member).EnumerateArray().Select(v => v.GetString()!)];
}
