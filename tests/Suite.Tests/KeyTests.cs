using System.Collections.Concurrent;
using System.Text.Json;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Stack;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Suite.Tests;

/// <summary>Two Issuers on one key folder, where a next key waits a second and a second's margin.</summary>
public sealed class RotatingStack : StackFixture
{
    internal override StackOptions Options => base.Options with
    {
        Replicas = new Dictionary<string, int> { ["issuer"] = 2 },
        Variables = new Dictionary<string, string?> { ["CLAW_JWKS_MAX_AGE_SECONDS"] = "1", ["CLAW_KEY_ACTIVATION_MARGIN_SECONDS"] = "1" },
    };
}

/// <summary>`claw keys` on a stack that runs, and what its callers notice of it: nothing.</summary>
public sealed class KeyTests(RotatingStack stack) : IClassFixture<RotatingStack>
{
    private string State => stack.Stack.StateFolder;

    [Fact]
    public async Task A_rotation_under_load_refuses_no_token_that_should_pass_and_a_revoked_key_takes_all_of_its_with_it()
    {
        var issuers = stack.Stack.Services.Where(service => service.Place.Name == "issuer").Select(service => new IssuanceService.IssuanceServiceClient(stack.Channel(service).Calls)).ToList();
        var introspection = stack.Introspection;
        var (issued, refused) = (new ConcurrentQueue<IssueTokenResponse>(), new ConcurrentQueue<string>());
        using var enough = new CancellationTokenSource();
        var load = Enumerable.Range(0, 8).Select(i => Task.Run(async () =>
        {
            while (!enough.IsCancellationRequested)
            {
                try
                {
                    var token = await issuers[i % 2].IssueTokenAsync(StackFixture.Request(""));
                    issued.Enqueue(token);
                    var answer = await introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = token.Token });
                    if (!answer.Active) refused.Enqueue($"{token.Kid}: {answer.InactiveReason}");
                }
                catch (Refusal refusal)
                {
                    refused.Enqueue($"{refusal.Reason}: {refusal.Sentence}");
                }
            }
        })).ToList();

        var first = Json(await Claw.RunAsync("keys", "list", "--json", "--state", State)).GetProperty("active_kid").GetString()!;
        // In its time, and then at once: the second one is the harder.
        var begun = Json(await Claw.RunAsync("keys", "rotate", "--overlap", "1h", "--expect", first, "--json", "--state", State));
        var second = begun.GetProperty("kid").GetString()!;
        await SignsAsync(second);
        var hurried = Json(await Claw.RunAsync("keys", "rotate", "--emergency", "--json", "--state", State));
        Assert.True(hurried.GetProperty("active").GetBoolean());
        var third = hurried.GetProperty("kid").GetString()!;
        await SignsAsync(third);
        await enough.CancelAsync();
        await Task.WhenAll(load);

        Assert.Empty(refused.Distinct());
        Assert.Equal(new[] { first, second, third }.ToHashSet(), issued.Select(token => token.Kid).ToHashSet());
        // Tokens of all three keys are good still.
        foreach (var kid in (string[])[first, second, third])
            Assert.True((await introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = issued.Last(token => token.Kid == kid).Token })).Active);

        var smoke = await Claw.RunAsync("keys", "smoke", "--state", State);
        Assert.True(smoke.Code == 0, smoke.All);

        // The second one leaks.
        var revoked = Json(await Claw.RunAsync("keys", "revoke", second, "--reason", "seed in a log", "--json", "--state", State));
        Assert.Equal(("revoked", third), (revoked.GetProperty("status").GetString(), revoked.GetProperty("active_kid").GetString()));
        var dead = await introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = issued.Last(token => token.Kid == second).Token });
        Assert.Equal((false, true, Reason.TokenRevoked, Protos.Types.V1.GroupKind.KeyId), (dead.Active, dead.Revoked, (Reason)dead.InactiveReason, dead.RevokedByGroup));
        var contract = Json(await Claw.RunAsync("keys", "contract", "--json", "--state", State));
        Assert.DoesNotContain(second, contract.GetProperty("accepted_kids").EnumerateArray().Select(kid => kid.GetString()));
        Assert.DoesNotContain(second, Json(await Claw.RunAsync("keys", "jwks", "--json", "--state", State)).GetProperty("keys").EnumerateArray().Select(key => key.GetProperty("kid").GetString()));
        Assert.True((await introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = issued.Last(token => token.Kid == first).Token })).Active);

        async Task SignsAsync(string kid) => await Eventually.HoldsAsync($"both Issuers sign with {kid}", async () =>
        {
            foreach (var issuer in issuers)
            {
                if ((await issuer.IssueTokenAsync(StackFixture.Request(""))).Kid != kid) return false;
            }
            return true;
        });
    }

    [Fact]
    public async Task A_key_that_is_made_beside_the_Issuers_is_published_by_them()
    {
        var made = Json(await Claw.RunAsync("keys", "generate", "--json", "--state", State));
        var kid = made.GetProperty("kid").GetString()!;
        Assert.True(File.Exists(made.GetProperty("file").GetString()));
        await Eventually.HoldsAsync("it is published", async () => Json(await Claw.RunAsync("keys", "jwks", "--json", "--state", State)).GetProperty("keys").EnumerateArray().Any(key => key.GetProperty("kid").GetString() == kid));
        var listed = await Claw.RunAsync("keys", "list", "--state", State);
        Assert.Contains($"{kid}  next         waits for `claw keys rotate`", listed.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_cannot_be_done_is_refused_with_its_reason()
    {
        var ran = await Claw.RunAsync("keys", "revoke", "0123456789abcdef", "--state", State);
        Assert.True(ran.Code == 1 && ran.Error.Contains("(KEY_NOT_FOUND)", StringComparison.Ordinal), ran.All);
        ran = await Claw.RunAsync("keys", "rotate", "--expect", "0123456789abcdef", "--state", State);
        Assert.True(ran.Code == 1 && ran.Error.Contains("(KEY_STATE_CONFLICT)", StringComparison.Ordinal), ran.All);
        ran = await Claw.RunAsync("keys", "rotate", "--overlap", "soon", "--state", State);
        Assert.True(ran.Code == 2, ran.All);
        ran = await Claw.RunAsync("keys", "list", "--issuer", "https://127.0.0.1:1", "--state", State);
        Assert.True(ran.Code == 3, ran.All);
    }

    private static JsonElement Json(Ran ran)
    {
        Assert.True(ran.Code == 0, ran.All);
        return JsonDocument.Parse(ran.LastLine).RootElement;
    }
}
