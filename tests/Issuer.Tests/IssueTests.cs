using System.Text.Json;
using ClawBureau.Ledger;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Issuer.Tests;

public sealed class IssueTests
{
    [Fact]
    public async Task A_token_is_issued_signed_and_recorded()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        var request = IssuerFixture.Request();
        request.Ttl = Duration.FromTimeSpan(TimeSpan.FromMinutes(5));
        var issued = await issuer.Issuance.IssueTokenAsync(request, new Metadata { { "x-trace-id", "trc_demo" }, { "x-correlation-id", "cor_demo" } });

        var parsed = TokenParser.Parse(issued.Token);
        using var key = new SigningKey([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 11))]);
        JwsVerifier.Verify(parsed, new VerificationKeySet([key.VerificationKey]), DateTimeOffset.UtcNow);
        Assert.Equal("fe2b99fd9afaa999", issued.Kid);
        Assert.Equal(parsed.TokenHash.ToString(), issued.TokenHash);
        Assert.Equal(parsed.Claims.ComputeScopeHash().ToString(), issued.TokenScopeHashB64U);
        Assert.Equal((300, "1", "default"), ((int)(issued.ExpiresAt.Seconds - issued.IssuedAt.Seconds), issued.PolicyVersion, issued.PolicyTier));
        Assert.Equal(("agent:main:dm:whatsapp:+15551234567", "clawproxy.example", false), (issued.Claims.MissionId, issued.Claims.Aud.Values[0], issued.Claims.Aud.AsArray));
        Assert.Equal(Tokens.TokenLane.Legacy, parsed.Claims.Lane);
        Assert.Equal(Protos.Types.V1.LegacyExchangeMode.Migration, issued.LegacyExchangeMode);

        Assert.Equal("agent:main:dm:whatsapp:+15551234567|run-7|trc_demo|cor_demo", await issuer.ScalarAsync<string>(
            $"SELECT concat_ws('|', mission_id, run_id, trace_id, correlation_id) FROM ledger.events WHERE seq = {issued.Seq}"));
        var payload = JsonDocument.Parse(await issuer.ScalarAsync<byte[]>($"SELECT payload FROM ledger.events WHERE seq = {issued.Seq}")).RootElement;
        Assert.Equal(("token.issued", issued.TokenHash, "admin:scope-admin"), (payload.GetProperty("kind").GetString(), payload.GetProperty("token_hash").GetString(), payload.GetProperty("by").GetString()));
        Assert.Equal(CanonicalJson.Of(payload), await issuer.ScalarAsync<byte[]>($"SELECT payload FROM ledger.events WHERE seq = {issued.Seq}"));
    }

    public static TheoryData<string, Reason, StatusCode> Refused => new()
    {
        { "no sub", Reason.InvalidRequest, StatusCode.InvalidArgument },
        { "blank sub", Reason.InvalidRequest, StatusCode.InvalidArgument },
        { "no aud", Reason.InvalidRequest, StatusCode.InvalidArgument },
        { "no scope", Reason.InvalidRequest, StatusCode.InvalidArgument },
        { "65 scopes", Reason.ScopeTooLarge, StatusCode.InvalidArgument },
        { "long scope", Reason.ScopeItemTooLong, StatusCode.InvalidArgument },
        { "scope outside", Reason.ScopeNotAllowed, StatusCode.PermissionDenied },
        { "wildcard", Reason.ScopeWildcardNotAllowed, StatusCode.PermissionDenied },
        { "unknown tier", Reason.PolicyTierUnknown, StatusCode.InvalidArgument },
        { "ttl too long", Reason.TtlTooLong, StatusCode.InvalidArgument },
        { "ttl zero", Reason.InvalidTtl, StatusCode.InvalidArgument },
        { "past exp", Reason.TtlExpired, StatusCode.InvalidArgument },
        { "sensitive scope", Reason.LegacySensitiveScopeForbidden, StatusCode.PermissionDenied },
        { "canonical lane", Reason.ControlChainNotFound, StatusCode.NotFound },
        { "NUL in mission", Reason.TextNotStorable, StatusCode.InvalidArgument },
        { "huge sub", Reason.FieldTooLong, StatusCode.InvalidArgument },
        { "huge run", Reason.FieldTooLong, StatusCode.InvalidArgument },
        { "blank mission", Reason.MissionIdInvalid, StatusCode.InvalidArgument },
        { "bad idempotency key", Reason.IdempotencyKeyInvalid, StatusCode.InvalidArgument },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task What_the_rules_do_not_allow_is_refused_with_its_reason_and_writes_nothing(string what, Reason reason, StatusCode code)
    {
        var issuer = await Shared.Value;
        long before = await issuer.ScalarAsync<long>("SELECT seq FROM ledger.head");
        var request = IssuerFixture.Request();
        switch (what)
        {
            case "no sub": request.Sub = ""; break;
            case "blank sub": request.Sub = " \t"; break;
            case "no aud": request.Aud = null; break;
            case "no scope": request.Scope.Clear(); break;
            case "65 scopes": request.Scope.AddRange(Enumerable.Range(0, 64).Select(i => $"clawproxy:{i}")); break;
            case "long scope": request.Scope[0] = "clawproxy:" + new string('x', 200); break;
            case "scope outside": request.Scope[0] = "admin:everything"; break;
            case "wildcard": request.Scope[0] = "clawproxy:*"; break;
            case "unknown tier": request.Tier = "constructor"; break;
            case "ttl too long": request.Ttl = Duration.FromTimeSpan(TimeSpan.FromHours(2)); break;
            case "ttl zero": request.Ttl = new Duration(); break;
            case "past exp": request.ExpiresAt = new Timestamp { Seconds = 1 }; break;
            case "sensitive scope": request.Scope[0] = "control:token:revoke"; break;
            case "canonical lane":
                (request.Lane, request.OwnerDid, request.ControllerDid) = (Protos.Types.V1.TokenLane.Canonical, "did:key:zOwner", "did:key:zController");
                break;
            case "NUL in mission": request.MissionId = "a\0b"; break;
            case "huge sub": request.Sub = "did:key:z" + new string('6', 5000); break;
            case "huge run": request.RunId = new string('r', 300); break;
            case "blank mission": request.MissionId = " "; break;
            case "bad idempotency key": request.IdempotencyKey = "with blank"; break;
        }

        var refusal = await Assert.ThrowsAsync<Refusal>(async () => await issuer.Issuance.IssueTokenAsync(request));
        Assert.Equal(reason, refusal.Reason);
        Assert.Equal(code, Hosting.Refusals.ReasonCatalog.Of(refusal.Reason).GrpcCode);
        Assert.Equal(before, await issuer.ScalarAsync<long>("SELECT seq FROM ledger.head"));
        Assert.DoesNotContain("   at ", refusal.Sentence ?? "", StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null, StatusCode.Unauthenticated)]
    [InlineData("wrong key", StatusCode.Unauthenticated)]
    public async Task Without_the_right_key_nothing_is_issued(string? key, StatusCode code)
    {
        var issuer = await Shared.Value;
        var refusal = await Assert.ThrowsAsync<Refusal>(async () =>
            await new IssuanceService.IssuanceServiceClient(issuer.Process.Channel(key).Calls).IssueTokenAsync(IssuerFixture.Request()));
        Assert.Equal(code, Hosting.Refusals.ReasonCatalog.Of(refusal.Reason).GrpcCode);
    }

    [Fact]
    public async Task A_retry_under_its_key_gets_the_same_token_and_another_request_is_a_conflict()
    {
        var issuer = await Shared.Value;
        var request = IssuerFixture.Request();
        request.IdempotencyKey = "once";
        var first = await issuer.Issuance.IssueTokenAsync(request, new Metadata { { "x-trace-id", "first" } });
        var again = await issuer.Issuance.IssueTokenAsync(request, new Metadata { { "x-trace-id", "second" } });
        Assert.Equal((first.Token, first.Seq, first.ExpiresAt, true), (again.Token, again.Seq, again.ExpiresAt, again.Repeated));

        request.Scope.Add("clawproxy:more");
        var refusal = await Assert.ThrowsAsync<Refusal>(async () => await issuer.Issuance.IssueTokenAsync(request));
        Assert.Equal(Reason.IdempotencyKeyConflict, refusal.Reason);
    }

    [Fact]
    public async Task A_storm_of_retries_makes_one_token()
    {
        var issuer = await Shared.Value;
        var request = IssuerFixture.Request();
        request.IdempotencyKey = "storm";
        var client = issuer.Issuance;
        var answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(async _ => await client.IssueTokenAsync(request)));
        Assert.Single(answers.Select(a => a.Token).Distinct());
        Assert.Single(answers, a => !a.Repeated);
    }

    [Fact]
    public async Task A_blocked_mission_mints_nothing_and_the_lift_dates_the_next_token_after_its_cut()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        var ledger = issuer.Process.Services.GetRequiredService<LedgerWriter>();
        var mission = GroupKey.Of(RevocationKind.Mission, "", IssuerFixture.Request().MissionId);
        await ledger.AppendAsync(new BlockGroupAct { Caller = "test", Correlation = Ledger.Correlation.None, Group = mission }, CancellationToken.None);

        var refusal = await Assert.ThrowsAsync<Refusal>(async () => await issuer.Issuance.IssueTokenAsync(IssuerFixture.Request()));
        Assert.Equal(Reason.MissionBlocked, refusal.Reason);
        var other = IssuerFixture.Request();
        other.MissionId = "another";
        await issuer.Issuance.IssueTokenAsync(other);

        var lifted = await ledger.AppendAsync(new LiftBlockAct { Caller = "test", Correlation = Ledger.Correlation.None, Group = mission }, CancellationToken.None);
        var issued = await issuer.Issuance.IssueTokenAsync(IssuerFixture.Request());
        Assert.True(issued.IssuedAt.Seconds > lifted.Cut);
        Assert.Equal(600, issued.ExpiresAt.Seconds - issued.IssuedAt.Seconds);
    }

    [Fact]
    public async Task While_the_database_is_away_issuance_is_unavailable_and_comes_back_by_itself()
    {
        await using var issuer = await IssuerFixture.StartAsync(behindWire: true);
        issuer.Process.ExpectsErrors = true;        // an unresolved outcome is one
        await issuer.Wire.CutAsync();
        var refusal = await Assert.ThrowsAsync<Refusal>(async () => await issuer.Issuance.IssueTokenAsync(IssuerFixture.Request()));
        Assert.Equal(StatusCode.Unavailable, Hosting.Refusals.ReasonCatalog.Of(refusal.Reason).GrpcCode);

        issuer.Wire.Mend();
        await Testing.Eventually.HoldsAsync("tokens are issued again", async () =>
        {
            try
            {
                return (await issuer.Issuance.IssueTokenAsync(IssuerFixture.Request())).Token.Length > 0;
            }
            catch (Refusal)
            {
                return false;
            }
        });
    }

    [Fact]
    public async Task No_log_holds_a_token_a_seed_or_a_key()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        var issued = await issuer.Issuance.IssueTokenAsync(IssuerFixture.Request());
        await issuer.Revocation.RevokeTokensAsync(new() { Targets = { new Protos.Revocation.V1.RevocationTarget { Token = issued.Token } } });
        await Assert.ThrowsAsync<Refusal>(async () => await issuer.Issuance.IssueTokenAsync(new IssueTokenRequest { Sub = issued.Token }));

        var logs = string.Join('\n', issuer.Process.Logs);
        Assert.Contains(issued.TokenHash, logs, StringComparison.Ordinal);
        foreach (var secret in (string[])[issued.Token, issued.Token.Split('.')[1], issued.Token.Split('.')[2], IssuerFixture.Seed, Testing.TestProcess.AdminKey])
            Assert.DoesNotContain(secret, logs, StringComparison.Ordinal);
        // Nor does the database: it keeps what was signed, never the signature.
        Assert.Equal(0, await issuer.ScalarAsync<long>($"SELECT count(*) FROM ledger.events WHERE position('{issued.Token.Split('.')[2]}'::bytea in payload) > 0"));
    }

    private static readonly Lazy<Task<IssuerFixture>> Shared = new(() => IssuerFixture.StartAsync());
}
