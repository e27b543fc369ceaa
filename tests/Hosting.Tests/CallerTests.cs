using System.Security.Cryptography;
using System.Text;
using ClawBureau.Hosting.Callers;
using ClawBureau.Hosting.Calls;
using ClawBureau.Hosting.Tests.Processes;
using ClawBureau.Tokens;
using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting.Tests;

public sealed class CallerTests
{
    private const string Key = RunningProcess.AdminKey;

    // clawscope-http.md 0.1 B, row by row.
    public static TheoryData<string?, string?, string?, Reason, string?> AdminRows => new()
    {
        { null, null, "Bearer x", Reason.AdminKeyNotConfigured, "SCOPE_ADMIN_KEY is not configured" },
        { "  ", "[]", "Bearer x", Reason.AdminKeyNotConfigured, "SCOPE_ADMIN_KEY is not configured" },
        { null, null, null, Reason.AdminKeyNotConfigured, null },
        { Key, "{", "Bearer " + Key, Reason.AdminKeyConfigInvalid, "Admin key configuration is invalid" },
        { Key, "\"" + Key + "\"", "Bearer " + Key, Reason.AdminKeyConfigInvalid, null },
        { Key, "[\" \"]", "Bearer " + Key, Reason.AdminKeyConfigInvalid, null },
        { Key, "[null]", "Bearer " + Key, Reason.AdminKeyConfigInvalid, null },
        { Key, "[1]", "Bearer " + Key, Reason.AdminKeyConfigInvalid, null },
        { Key, null, null, Reason.Unauthorized, "Missing Authorization header" },
        { Key, null, " ", Reason.Unauthorized, "Missing Authorization header" },
        { Key, null, "Bearer wrong", Reason.Unauthorized, "Invalid admin token" },
        { Key, null, "Basic " + Key, Reason.Unauthorized, "Invalid admin token" },
        { Key, null, "Bearer", Reason.Unauthorized, "Invalid admin token" },
        { Key, null, Key + "x", Reason.Unauthorized, "Invalid admin token" },
        { Key, null, "Bearer a.b.c", Reason.Unauthorized, "Invalid admin token" },
    };

    [Theory]
    [MemberData(nameof(AdminRows))]
    public async Task Without_a_good_admin_key_the_contracts_answer_is_given(string? key, string? json, string? authorization, Reason reason, string? sentence)
    {
        await using var process = await AdminProcessAsync(key, json);
        using var channel = process.Connect();

        var refusal = await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(CallKind.Unary, options: With("authorization", authorization)));

        Assert.Equal(reason, refusal.Reason);
        if (sentence is not null) Assert.Equal(sentence, refusal.Sentence);
    }

    [Theory]
    [InlineData("Bearer one", "admin:scope-admin")]
    [InlineData("bearer   one ", "admin:scope-admin")]
    [InlineData("one", "admin:scope-admin")]
    [InlineData("BEARER two", "admin:scope-admin-1")]
    [InlineData("three", "admin:scope-admin-2")]
    public async Task An_admin_key_is_taken_bare_or_as_bearer_and_names_its_caller(string authorization, string name)
    {
        await using var process = await AdminProcessAsync(" one ", "[\"two\", \" three \"]");
        using var channel = process.Connect();

        Assert.Equal(name, await channel.ProbeAsync(CallKind.Unary, options: With("authorization", authorization)));
    }

    [Theory]
    [InlineData("x-cst")]
    [InlineData("x-scoped-token")]
    public async Task A_scoped_token_is_refused_where_none_opens_the_RPC_even_beside_a_good_key(string header)
    {
        await using var process = await AdminProcessAsync(Key, null);
        using var channel = process.Connect("verifier", Key);

        var refusal = await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(CallKind.Unary, options: With(header, "a.b.c")));

        Assert.Equal((Reason.CallerNotAllowed, "No scoped token opens this RPC"), (refusal.Reason, refusal.Sentence));
    }

    [Fact]
    public async Task A_key_without_the_scope_is_refused_and_told_which_one()
    {
        var keys = Path.Combine(TemporaryFolder.Create(), "keys.json");
        AdminKeyFiles.Write(keys, ("reader", "key-of-reader", ["feed:read"]), ("issuer-key", "key-of-issuer", ["probe", "feed:read"]));
        await using var process = await RunningProcess.ProbeAsync(
            (_, context) => Task.FromResult(context.GetCaller().Name),
            May.AnyOf(May.AdminKey("probe"), May.Service("verifier")),
            new Dictionary<string, string?> { ["SCOPE_ADMIN_KEY"] = null, ["CLAW_ADMIN_KEYS_FILE"] = keys });
        using var reader = process.Connect(adminKey: "key-of-reader");
        using var issuer = process.Connect(adminKey: "key-of-issuer");

        var refusal = await Assert.ThrowsAsync<Refusal>(() => reader.ProbeAsync(CallKind.Unary));

        Assert.Equal((Reason.CallerNotAllowed, "probe"), (refusal.Reason, refusal.Metadata["required"]));
        Assert.Equal("admin:issuer-key", await issuer.ProbeAsync(CallKind.Unary));
    }

    [Fact]
    public async Task A_client_certificate_of_our_CA_is_a_service()
    {
        await using var process = await ServiceProcessAsync(May.Service("verifier"));
        using var verifier = process.Connect("verifier");
        using var other = process.Connect("issuer");
        using var nobody = process.Connect();

        Assert.Equal("service:verifier", await verifier.ProbeAsync(CallKind.Unary));
        Assert.Equal(Reason.CallerNotAllowed, (await Assert.ThrowsAsync<Refusal>(() => other.ProbeAsync(CallKind.Unary))).Reason);
        Assert.Equal(Reason.CredentialRequired, (await Assert.ThrowsAsync<Refusal>(() => nobody.ProbeAsync(CallKind.Unary))).Reason);
    }

    [Fact]
    public async Task A_wrong_key_does_not_fall_back_to_the_certificate()
    {
        await using var process = await ServiceProcessAsync(May.AnyOf(May.Service("verifier"), May.AdminKey("probe")));
        using var channel = process.Connect("verifier", "wrong");

        Assert.Equal(Reason.Unauthorized, (await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(CallKind.Unary))).Reason);
    }

    [Fact]
    public async Task The_edge_without_a_forwarded_credential_is_answered_like_anybody()
    {
        await using var process = await ServiceProcessAsync(May.AnyOf(May.AnyService, May.AdminKey("probe")));
        using var bare = process.Connect("edge");
        using var forwarding = process.Connect("edge", Key);

        var refusal = await Assert.ThrowsAsync<Refusal>(() => bare.ProbeAsync(CallKind.Unary));

        Assert.Equal((Reason.Unauthorized, "Missing Authorization header"), (refusal.Reason, refusal.Sentence));
        Assert.Equal("admin:scope-admin", await forwarding.ProbeAsync(CallKind.Unary));
    }

    [Fact]
    public async Task What_is_public_asks_for_nothing_and_looks_at_no_key()
    {
        await using var process = await ServiceProcessAsync(May.Public);
        using var nobody = process.Connect(adminKey: "wrong");
        using var verifier = process.Connect("verifier");

        Assert.Equal("anonymous", await nobody.ProbeAsync(CallKind.Unary));
        Assert.Equal("service:verifier", await verifier.ProbeAsync(CallKind.Unary));
    }

    [Fact]
    public async Task A_certificate_of_another_CA_gets_no_connection()
    {
        await using var process = await ServiceProcessAsync(May.Public);
        using var channel = process.Connect("verifier", folder: await Certificates.OthersAsync());

        Assert.Equal(Reason.PeerUnavailable, (await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(CallKind.Unary))).Reason);
    }

    [Fact]
    public async Task A_certificate_of_another_trust_domain_names_nobody()
    {
        await using var process = await RunningProcess.ProbeAsync(
            (_, context) => Task.FromResult(context.GetCaller().Name), May.AnyService, new Dictionary<string, string?> { ["CLAW_TRUST_DOMAIN"] = "other.example" });
        using var channel = process.Connect("verifier");

        Assert.Equal(Reason.CredentialInvalid, (await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(CallKind.Unary))).Reason);
    }

    [Fact]
    public async Task A_stream_ends_when_the_key_of_its_caller_is_withdrawn()
    {
        var keys = Path.Combine(TemporaryFolder.Create(), "keys.json");
        AdminKeyFiles.Write(keys, ("watcher", "key-of-watcher", ["probe"]));
        var time = new ManualTime();
        var entered = new TaskCompletionSource();
        await using var process = await RunningProcess.ProbeAsync(
            async (_, context) =>
            {
                entered.SetResult();
                await Task.Delay(Timeout.InfiniteTimeSpan, context.CancellationToken);
                return "";
            },
            May.AdminKey("probe"),
            new Dictionary<string, string?> { ["SCOPE_ADMIN_KEY"] = null, ["CLAW_ADMIN_KEYS_FILE"] = keys },
            time);
        using var channel = process.Connect(adminKey: "key-of-watcher");

        var call = channel.ProbeAsync(CallKind.Duplex);
        await entered.Task;
        time.Advance(TimeSpan.FromSeconds(6));
        Assert.False(call.IsCompleted);
        AdminKeyFiles.Write(keys, ("another", "another-key", ["probe"]));
        time.Advance(TimeSpan.FromSeconds(6));

        Assert.Equal(Reason.CredentialExpired, (await Assert.ThrowsAsync<Refusal>(() => call)).Reason);
    }

    [Fact]
    public async Task A_certificate_that_has_ended_since_the_handshake_is_refused()
    {
        var time = new ManualTime();
        await using var process = await RunningProcess.ProbeAsync((_, context) => Task.FromResult(context.GetCaller().Name), May.AnyService, time: time);
        using var channel = process.Connect("verifier");
        Assert.Equal("service:verifier", await channel.ProbeAsync(CallKind.Unary));

        time.Advance(TimeSpan.FromDays(91));
        var refusal = await Assert.ThrowsAsync<Refusal>(() =>
            channel.ProbeAsync(CallKind.Unary, options: new CallOptions(deadline: DateTime.UtcNow.AddDays(100))));

        Assert.Equal(Reason.CredentialExpired, refusal.Reason);
    }

    [Fact]
    public async Task No_key_appears_in_any_log_at_any_level()
    {
        const string wrong = "wrong-key-that-must-not-be-logged";
        var keys = Path.Combine(TemporaryFolder.Create(), "keys.json");
        AdminKeyFiles.Write(keys, ("ops", "key-of-ops-in-the-file", ["probe"]));
        await using var process = await RunningProcess.ProbeAsync(
            (_, _) => throw new InvalidDataException("boom"),
            May.AdminKey("probe"),
            new Dictionary<string, string?> { ["SCOPE_ADMIN_KEYS_JSON"] = "[\"key-of-the-variable\"]", ["CLAW_ADMIN_KEYS_FILE"] = keys });

        foreach (var key in new[] { Key, "key-of-the-variable", "key-of-ops-in-the-file", wrong })
        {
            using var channel = process.Connect("edge", key);
            await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(CallKind.Duplex));
        }

        Assert.Equal(3, process.Logs.Lines.Count(line => line.Level == LogLevel.Error));
        Assert.Contains(process.Logs.Lines, line => line.Event == "call.denied");
        foreach (var secret in new[] { Key, "key-of-the-variable", "key-of-ops-in-the-file", wrong })
        {
            var hash = Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(secret)));
            Assert.DoesNotContain(process.Logs.Lines, line => line.Text.Contains(secret) || line.Text.Contains(hash, StringComparison.OrdinalIgnoreCase));
        }
    }

    private static Task<RunningProcess> AdminProcessAsync(string? key, string? json) => RunningProcess.ProbeAsync(
        (_, context) => Task.FromResult(context.GetCaller().Name),
        May.AdminKey("probe"),
        new Dictionary<string, string?> { ["SCOPE_ADMIN_KEY"] = key, ["SCOPE_ADMIN_KEYS_JSON"] = json });

    private static Task<RunningProcess> ServiceProcessAsync(May rule) =>
        RunningProcess.ProbeAsync((_, context) => Task.FromResult(context.GetCaller().Name), rule);

    private static CallOptions With(string header, string? value) => value is null ? default : new CallOptions(new Metadata { { header, value } });
}
