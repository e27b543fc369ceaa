using System.Text.Json;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Suite.Tests;

/// <summary>The verbs as a person or a script uses them, against a stack that somebody else started.</summary>
[Collection(SharedStack.Name)]
public sealed class CommandTests(StackFixture fixture)
{
    private const string Agent = "did:key:z6MkexampleAgent";

    private string State => fixture.Stack.StateFolder;

    private Task<Ran> RunAsync(string[] arguments, string input = "") => Claw.RunAsync([.. arguments, "--state", State], null, input);

    private Task<Ran> IssueAsync(params string[] more) =>
        RunAsync(["token", "issue", "--sub", Agent, "--aud", "clawproxy.example", "--scope", "clawproxy:call", .. more]);

    private async Task<string> TokenAsync()
    {
        var issued = await IssueAsync();
        Assert.True(issued.Code == 0, issued.All);
        return issued.Out.Trim();
    }

    [Fact]
    public async Task Issue_prints_the_token_alone_and_what_belongs_to_it_on_stderr()
    {
        var issued = await IssueAsync("--ttl", "90s", "--mission", "agent:main:dm:whatsapp:+15551234567", "--run", "run-1");
        Assert.True(issued.Code == 0, issued.All);
        Assert.Single(issued.Out.TrimEnd('\n').Split('\n'));
        var token = TokenParser.Parse(issued.Out.TrimEnd('\n'));
        Assert.Equal(90, token.Claims.ExpiresAt - token.Claims.IssuedAt);
        Assert.Contains(token.TokenHash.ToString(), issued.Error, StringComparison.Ordinal);
        Assert.DoesNotContain(issued.Out.Trim(), issued.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Issue_as_json_is_one_object_and_the_same_under_the_same_key()
    {
        var issued = await IssueAsync("--idempotency-key", "walk-1", "--json");
        var again = await IssueAsync("--idempotency-key", "walk-1", "--json");
        var (first, second) = (JsonOf(issued), JsonOf(again));
        Assert.Equal(["token", "token_hash", "token_scope_hash_b64u", "policy_version", "policy_tier", "kid", "seq", "iat", "exp", "repeated"], first.EnumerateObject().Select(m => m.Name));
        Assert.Equal(first.GetProperty("token").GetString(), second.GetProperty("token").GetString());
        Assert.Equal((false, true), (first.GetProperty("repeated").GetBoolean(), second.GetProperty("repeated").GetBoolean()));
        Assert.Equal("", issued.Error);
    }

    [Fact]
    public async Task Introspect_says_active_with_0_and_revoked_with_1_also_from_standard_input()
    {
        var token = await TokenAsync();
        var active = await RunAsync(["token", "introspect", token]);
        Assert.True(active.Code == 0, active.All);
        Assert.StartsWith("active\n", active.Out, StringComparison.Ordinal);
        Assert.Contains(Agent, active.Out, StringComparison.Ordinal);

        var piped = await RunAsync(["token", "introspect", "-", "--json"], token + "\n");
        Assert.Equal((0, true, Agent), (piped.Code, JsonOf(piped).GetProperty("active").GetBoolean(), JsonOf(piped).GetProperty("sub").GetString()));

        Assert.Equal(0, (await RunAsync(["revoke", "--token", "-"], token + "\n")).Code);
        var revoked = await RunAsync(["token", "introspect", token]);
        Assert.Equal(1, revoked.Code);
        Assert.StartsWith("revoked\n", revoked.Out, StringComparison.Ordinal);
        var json = await RunAsync(["token", "introspect", token, "--json"]);
        Assert.Equal((1, false, true, "TOKEN_REVOKED"), (json.Code, JsonOf(json).GetProperty("active").GetBoolean(), JsonOf(json).GetProperty("revoked").GetBoolean(), JsonOf(json).GetProperty("reason").GetString()));

        var forged = await RunAsync(["token", "introspect", token[..^4] + "AAAA"]);
        Assert.Equal(1, forged.Code);
        Assert.StartsWith("not active: ", forged.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Inspect_takes_a_token_apart_without_asking_anybody()
    {
        var token = await TokenAsync();
        var inspected = await Claw.RunAsync("token", "inspect", token);
        Assert.True(inspected.Code == 0, inspected.All);
        Assert.Contains(Agent, inspected.Out, StringComparison.Ordinal);
        var json = JsonOf(await Claw.RunAsync(["token", "inspect", "-", "--json"], null, token + "\n"));
        Assert.False(json.GetProperty("verified").GetBoolean());
        Assert.Equal(Agent, json.GetProperty("payload").GetProperty("sub").GetString());
    }

    [Fact]
    public async Task Revoke_takes_a_token_by_its_text_its_hash_or_its_jti_and_says_when_it_was_revoked_before()
    {
        var tokens = new[] { await TokenAsync(), await TokenAsync(), await TokenAsync() };
        var parsed = tokens.Select(TokenParser.Parse).ToList();
        string[][] targets = [["--token", tokens[0]], ["--hash", parsed[1].TokenHash.ToString()], ["--jti", parsed[2].Claims.Jti!]];
        for (int i = 0; i < targets.Length; i++)
        {
            var revoked = await RunAsync(["revoke", .. targets[i], "--reason", "laptop stolen"]);
            Assert.True(revoked.Code == 0, revoked.All);
            Assert.StartsWith("revoked\n", revoked.Out, StringComparison.Ordinal);
            Assert.Contains(parsed[i].TokenHash.ToString(), revoked.Out, StringComparison.Ordinal);
            Assert.Equal(1, (await RunAsync(["token", "introspect", tokens[i]])).Code);
        }
        var again = await RunAsync(["revoke", .. targets[2], "--json"]);
        Assert.Equal((0, "already_revoked"), (again.Code, JsonOf(again).GetProperty("results")[0].GetProperty("status").GetString()));
    }

    [Fact]
    public async Task Revoke_takes_back_a_whole_mission_and_lift_lets_it_have_new_tokens_not_the_old_ones()
    {
        var mission = $"mission {Guid.NewGuid()}";
        async Task<Ran> IssueAsync() => await RunAsync(["token", "issue", "--sub", "did:key:zAgent", "--aud", "a", "--scope", "clawproxy:call", "--mission", mission]);
        var before = (await IssueAsync()).Out.Trim();

        var blocked = await RunAsync(["revoke", "--mission", mission, "--reason", "lost", "--wait", "5s"]);
        Assert.True(blocked.Code == 0, blocked.All);
        Assert.StartsWith("blocked\n", blocked.Out, StringComparison.Ordinal);
        Assert.Contains("applied everywhere after", blocked.Out, StringComparison.Ordinal);
        Assert.Equal(1, (await RunAsync(["token", "introspect", before])).Code);
        IsRefusal(await IssueAsync(), "MISSION_BLOCKED");
        Assert.Equal("already_blocked", JsonOf(await RunAsync(["revoke", "--mission", mission, "--json"])).GetProperty("groups")[0].GetProperty("status").GetString());

        var lifted = await RunAsync(["lift", "--mission", mission, "--json"]);
        Assert.Equal((0, "lifted"), (lifted.Code, JsonOf(lifted).GetProperty("groups")[0].GetProperty("status").GetString()));
        Assert.Equal(1, (await RunAsync(["token", "introspect", before])).Code);
        Assert.Equal(0, (await RunAsync(["token", "introspect", (await IssueAsync()).Out.Trim()])).Code);
        IsRefusal(await RunAsync(["lift", "--mission", "never blocked"]), "BLOCK_NOT_FOUND");
        Assert.Equal(2, (await RunAsync(["lift"])).Code);
        Assert.Equal(2, (await RunAsync(["revoke", "--mission", mission, "--wait", "soon"])).Code);
    }

    [Fact]
    public async Task One_target_that_cannot_be_revoked_fails_no_other()
    {
        var token = await TokenAsync();
        var revoked = await RunAsync(["revoke", "--hash", "zz", "--token", token]);
        Assert.Equal(1, revoked.Code);
        Assert.StartsWith("revoked\n", revoked.Out, StringComparison.Ordinal);
        IsRefusal(revoked, "INVALID_TOKEN_HASH");
    }

    [Fact]
    public async Task Watch_prints_a_revocation_as_it_happens_and_resumes_where_it_ended()
    {
        var tokens = new[] { await TokenAsync(), await TokenAsync(), await TokenAsync() };
        var hashes = tokens.Select(t => TokenParser.Parse(t).TokenHash.ToString()).ToList();
        using var watch = new RunningClaw(["watch", "--count", "1", "--json", "--state", State]);
        await watch.PrintsAsync("watching;");
        await RunAsync(["revoke", "--token", tokens[0], "--reason", "laptop stolen"]);
        var seen = await watch.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.True(seen.Code == 0, seen.All);
        var first = JsonOf(seen);
        Assert.Equal((hashes[0], "laptop stolen"), (first.GetProperty("token_hash").GetString(), first.GetProperty("reason").GetString()));

        await RunAsync(["revoke", "--token", tokens[1], "--token", tokens[2]]);
        var cursor = first.GetProperty("cursor").GetString()!;
        var resumed = await RunAsync(["watch", "--count", "2", "--from", cursor, "--json"]);
        Assert.True(resumed.Code == 0, resumed.All);
        var lines = resumed.Out.TrimEnd('\n').Split('\n').Select(l => JsonDocument.Parse(l).RootElement).ToList();
        Assert.Equal(hashes[1..].Order(), lines.Select(l => l.GetProperty("token_hash").GetString()!).Order());
        Assert.Equal([1L, 2L], lines.Select(l => l.GetProperty("revocation_seq").GetInt64() - first.GetProperty("revocation_seq").GetInt64()));
    }

    [Fact]
    public async Task Ctrl_C_is_how_one_ends_watching()
    {
        using var watch = new RunningClaw(["watch", "--state", State]);
        await watch.PrintsAsync("watching;");
        watch.Interrupt();
        var ended = await watch.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.True(ended.Code == 0, ended.All);
        Assert.Equal("", ended.Out);
    }

    public static TheoryData<string> WrongUsage =>
    [
        "",
        "nonsense",
        "token",
        "token issue",
        "token issue --sub a --aud b",
        "token issue --sub a --aud b --scope c --ttl soon --state STATE",
        "token issue --sub a --aud b --scope c --ttl 99999999999999h --state STATE",
        "token issue --sub a --aud b --scope c",
        "token issue --sub a --aud b --scope c --issuer nonsense",
        "token issue --sub a --aud b --scope c --issuer https://127.0.0.1:1",
        "token issue --sub a --aud b --scope c --state STATE --admin-key-file /nonexistent/key",
        "token issue --sub a --aud b --scope c --state STATE --admin-key-file STATE/tls/ca.crt",
        "token issue --sub a --aud b --scope c --state STATE --ca-file /nonexistent/ca",
        "token introspect",
        "token introspect x --state /nonexistent",
        "token introspect x --state BROKEN",
        "revoke --state STATE",
        "watch --from nonsense --state STATE",
        "watch --count many",
        "up --port-base 70000",
        "up --replicas issuer=0",
        "up --replicas issuer=6",
        "up --replicas issuer=2,issuer=3",
        "up --replicas nobody=1",
        "migrate",
        "migrate CLAW_DATABASE=nonsense",
        "migrate --set-passwords CLAW_DATABASE=Host=x",
        "migrate --set-passwords CLAW_DATABASE=Host=x CLAW_DATABASE_ISSUER=Username=postgres;Password=x",
    ];

    [Theory]
    [MemberData(nameof(WrongUsage))]
    public async Task Wrong_usage_ends_with_2_and_a_sentence(string line)
    {
        var broken = Directory.CreateTempSubdirectory("claw-usage-").FullName;
        await File.WriteAllTextAsync(Path.Combine(broken, "stack.json"), "{");
        var words = line.Replace("STATE", State, StringComparison.Ordinal).Replace("BROKEN", broken, StringComparison.Ordinal).Split(' ', StringSplitOptions.RemoveEmptyEntries);
        var environment = words.Where(w => w.Contains('=', StringComparison.Ordinal)).Select(w => w.Split('=', 2)).ToDictionary(w => w[0], w => (string?)w[1]);
        var ran = await Claw.RunAsync(words.Where(w => !w.Contains('=', StringComparison.Ordinal)), environment);
        Directory.Delete(broken, recursive: true);

        Assert.True(ran.Code == 2, ran.All);
        Assert.StartsWith("claw: ", ran.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", ran.Error, StringComparison.Ordinal);
        Assert.Equal("", ran.Out);
    }

    [Theory]
    [InlineData("token issue --sub a --aud b --scope admin:everything --state STATE", "SCOPE_NOT_ALLOWED")]
    [InlineData("token issue --sub a --aud b --scope clawproxy:call --ttl 900d --state STATE", "TTL_TOO_LONG")]
    [InlineData("token issue --sub a --aud b --scope clawproxy:call --state STATE --admin-key-file OTHER-KEY", "UNAUTHORIZED")]
    [InlineData("token inspect nonsense", "TOKEN_MALFORMED")]
    [InlineData("revoke --hash zz --state STATE", "INVALID_TOKEN_HASH")]
    [InlineData("watch --from 11111111-1111-4111-8111-111111111111:0 --state STATE", "FEED_CURSOR_FOREIGN_EPOCH")]
    public async Task A_refusal_ends_with_1_and_names_its_reason_and_remedy(string line, string reason)
    {
        line = line.Replace("OTHER-KEY", Directory.GetFiles(Path.Combine(State, "secrets", "signing-keys"))[0], StringComparison.Ordinal);
        var ran = await Claw.RunAsync(line.Replace("STATE", State, StringComparison.Ordinal).Split(' '), null);
        Assert.True(ran.Code == 1, ran.All);
        Assert.Equal("", ran.Out);
        IsRefusal(ran, reason);
    }

    [Theory]
    [InlineData("token issue --sub a --aud b --scope clawproxy:call --issuer https://127.0.0.1:1 --state STATE")]
    [InlineData("token introspect x --introspector https://127.0.0.1:1 --state STATE")]
    [InlineData("revoke --jti x --issuer https://127.0.0.1:1 --state STATE")]
    [InlineData("watch --introspector https://127.0.0.1:1 --state STATE")]
    [InlineData("token introspect x --state STATE --ca-file STATE/tls/operator.crt")]
    public async Task Where_nobody_answers_a_verb_ends_with_3_and_names_the_address(string line)
    {
        var ran = await Claw.RunAsync(line.Replace("STATE", State, StringComparison.Ordinal).Split(' '), null);
        Assert.True(ran.Code == 3, ran.All);
        Assert.Equal("", ran.Out);
        Assert.StartsWith("claw: unavailable: ", ran.Error, StringComparison.Ordinal);
        Assert.Contains("https://127.0.0.1:", ran.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", ran.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_doctor_asks_services_elsewhere_that_the_environment_names()
    {
        var environment = new Dictionary<string, string?>
        {
            ["CLAW_CA_FILE"] = fixture.Stack.CaFile,
            ["CLAW_ISSUER"] = fixture.Stack.Issuer.Address.ToString(),
            ["CLAW_INTROSPECTOR"] = fixture.Stack.Introspector.Address.ToString(),
        };
        var healthy = await Claw.RunAsync(["doctor"], environment);
        Assert.Equal(0, healthy.Code);
        Assert.Contains($"✓ service.issuer         serves at {fixture.Stack.Issuer.Address}", healthy.Out, StringComparison.Ordinal);
        Assert.DoesNotContain("postgresql", healthy.Out, StringComparison.Ordinal);

        var deaf = await Claw.RunAsync(["doctor"], new Dictionary<string, string?>(environment) { ["CLAW_VERIFIER"] = "https://localhost:1" });
        Assert.Equal(1, deaf.Code);
        Assert.Contains("✗ service.verifier       does not answer at https://localhost:1/", deaf.Out, StringComparison.Ordinal);
        Assert.Contains("CLAW_VERIFIER says where to look", deaf.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Migrate_brings_an_empty_database_to_the_schema_and_has_nothing_to_do_the_second_time()
    {
        var name = $"claw_migrate_{Environment.ProcessId}";
        await using var admin = await fixture.OpenAdminAsync();
        await using (var create = new NpgsqlCommand($"CREATE DATABASE {name} TEMPLATE template0", admin)) await create.ExecuteNonQueryAsync();
        try
        {
            var environment = new Dictionary<string, string?> { ["CLAW_DATABASE"] = new NpgsqlConnectionStringBuilder(fixture.Stack.Database.Admin) { Database = name }.ConnectionString };
            var first = await Claw.RunAsync(["migrate"], environment);
            Assert.True(first.Code == 0, first.All);
            Assert.EndsWith("migrations applied\n", first.Out, StringComparison.Ordinal);
            var second = await Claw.RunAsync(["migrate"], environment);
            Assert.True(second.Code == 0, second.All);
            Assert.EndsWith("nothing to do\n", second.Out, StringComparison.Ordinal);
        }
        finally
        {
            await using var drop = new NpgsqlCommand($"DROP DATABASE {name} WITH (FORCE)", admin);
            await drop.ExecuteNonQueryAsync();
        }
    }

    [Fact]
    public async Task Prepare_makes_what_services_need_and_keeps_what_is_there()
    {
        var state = Directory.CreateTempSubdirectory("claw-prepare-").FullName;
        var first = await Claw.RunAsync("prepare", "--state", state);
        Assert.True(first.Code == 0, first.All);
        string[] files = ["tls/ca.crt", "tls/edge.crt", "tls/edge.key", "tls/audit-sink.key", "tls/operator.crt", "secrets/admin.key", "secrets/admin-keys.json"];
        var made = files.Select(f => File.ReadAllText(Path.Combine(state, f))).ToList();
        var seeds = Directory.GetFiles(Path.Combine(state, "secrets", "signing-keys"));
        Assert.NotEmpty(seeds);

        Assert.Equal(0, (await Claw.RunAsync("prepare", "--state", state)).Code);
        Assert.Equal(made, files.Select(f => File.ReadAllText(Path.Combine(state, f))));
        Assert.Equal(seeds, Directory.GetFiles(Path.Combine(state, "secrets", "signing-keys")));
        Assert.Equal(3, (await Claw.RunAsync("prepare", "--state", State)).Code);      // a stack runs there
        Directory.Delete(state, recursive: true);
    }

    [Fact]
    public async Task Migrate_gives_the_roles_the_passwords_that_the_services_have()
    {
        var database = fixture.Stack.Database;
        var environment = new Dictionary<string, string?>
        {
            ["CLAW_DATABASE"] = database.Admin,
            ["CLAW_DATABASE_ISSUER"] = database.Issuer,
            ["CLAW_DATABASE_INTROSPECTOR"] = database.Introspector,
            ["CLAW_DATABASE_AUDIT"] = database.Audit,
        };
        await using (var admin = await fixture.OpenAdminAsync())
        {
            await using var changed = new NpgsqlCommand("ALTER ROLE claw_audit PASSWORD 'it''s another'", admin);
            await changed.ExecuteNonQueryAsync();
        }
        var ran = await Claw.RunAsync(["migrate", "--set-passwords"], environment);
        Assert.True(ran.Code == 0, ran.All);
        await using var audit = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(database.Audit) { Pooling = false }.ConnectionString);
        await audit.OpenAsync();
    }

    [Theory]
    [InlineData(false, 3)]
    [InlineData(true, 0)]
    public async Task A_demo_on_a_server_that_somebody_else_runs_leaves_no_database_there(bool withRoles, int code)
    {
        var database = fixture.Stack.Database;
        var ran = await Claw.RunAsync(["demo", "--json"], new Dictionary<string, string?>
        {
            ["CLAW_DATABASE"] = database.Admin,
            ["CLAW_DATABASE_ISSUER"] = withRoles ? database.Issuer : null,
            ["CLAW_DATABASE_INTROSPECTOR"] = withRoles ? database.Introspector : null,
            ["CLAW_DATABASE_AUDIT"] = withRoles ? database.Audit : null,
        });

        Assert.True(ran.Code == code, ran.All);
        if (!withRoles) Assert.Contains("CLAW_DATABASE_ISSUER", ran.Error, StringComparison.Ordinal);
        await using var admin = await fixture.OpenAdminAsync();
        await using var left = new NpgsqlCommand("SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE 'claw\\_%' AND datname NOT LIKE 'claw\\_migrate%'", admin);
        Assert.Equal(DBNull.Value, await left.ExecuteScalarAsync());
    }

    [Fact]
    public async Task Migrate_where_no_server_answers_ends_with_3_and_a_remedy()
    {
        var ran = await Claw.RunAsync(["migrate"], new Dictionary<string, string?> { ["CLAW_DATABASE"] = "Host=127.0.0.1;Port=1;Username=postgres;Password=x" });
        Assert.True(ran.Code == 3, ran.All);
        Assert.StartsWith("claw: ", ran.Error, StringComparison.Ordinal);
        Assert.Contains("CLAW_DATABASE", ran.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", ran.Error, StringComparison.Ordinal);
    }

    private static JsonElement JsonOf(Ran ran)
    {
        Assert.True(ran.Out.TrimEnd('\n').Split('\n').Length == 1, ran.All);
        return JsonDocument.Parse(ran.Out).RootElement;
    }

    /// <summary>One line with the reason, one with the remedy.</summary>
    private static void IsRefusal(Ran ran, string reason)
    {
        var lines = ran.Error.TrimEnd('\n').Split('\n');
        Assert.True(lines.Length == 2 && lines[0].StartsWith("claw: refused: ", StringComparison.Ordinal) && lines[0].EndsWith($"({reason})", StringComparison.Ordinal), ran.All);
        Assert.True(lines[1].StartsWith("      ", StringComparison.Ordinal) && lines[1].Trim().Length > 10, ran.All);
    }
}
