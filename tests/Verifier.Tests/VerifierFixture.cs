using ClawBureau.Client;
using ClawBureau.Client.Feed;
using ClawBureau.Client.Keys;
using ClawBureau.Introspector;
using ClawBureau.Issuer;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Microsoft.Extensions.DependencyInjection;
using TokenRequirements = ClawBureau.Protos.Verification.V1.TokenRequirements;

namespace ClawBureau.Verifier.Tests;

/// <summary>A Verifier with a real Introspector and Issuer on a ledger of their own, and a stand-in for what it asks the Issuer besides keys.</summary>
internal sealed class VerifierFixture : IAsyncDisposable
{
    private readonly TestDatabase _database;
    private readonly TestProcess _issuer;

    private VerifierFixture(TestDatabase database, TestProcess issuer, FakeIssuer fake, TestProcess introspector, TestProcess process) =>
        (_database, _issuer, Issuer, Introspector, Process) = (database, issuer, fake, introspector, process);

    /// <summary>The seed of the contract's key vector o = 11; the Issuer signs with it too.</summary>
    public static SigningKey Key { get; } = TestKeys.KeyOf(11);

    public FakeIssuer Issuer { get; }
    public TestProcess Introspector { get; }
    public TestProcess Process { get; }
    public VerificationService.VerificationServiceClient Verification => new(Process.Channel().Calls);
    public RevocationFollower Follower => Process.Services.GetRequiredService<RevocationFollower>();

    /// <summary>Introspections that the Verifier asked for.</summary>
    public long Asked => Process.Services.GetRequiredService<IntrospectionPeer>().Asked;

    /// <param name="lease">The Introspector's, and what may be stale. Longer than the product's, since tests share a busy machine; where it is the subject, it is that.</param>
    /// <param name="heartbeat">The Introspector's, in seconds.</param>
    public static async Task<VerifierFixture> StartAsync(int lease = 30, int heartbeat = 1)
    {
        var database = await TestDatabases.CreateAsync();
        var issuer = await TestProcess.StartReadyAsync("issuer", s => s.AddIssuer(), a => a.MapIssuer(), new()
        {
            ["CLAW_DATABASE_ISSUER"] = database.Issuer,
            ["SCOPE_SIGNING_KEY"] = Base64UrlText.Encode(TestKeys.SeedOf(11)),
            // Past its cut-off.
            ["SCOPE_VERIFY_PUBLIC_KEYS_JSON"] = $$"""[{"x":"{{Base64UrlText.Encode(TestKeys.KeyOf(39).PublicKey)}}","not_after_unix":1500000000}]""",
        });
        // Patient: a busy machine is no reason to call the ledger unavailable here.
        var patient = new IntrospectorOptions { Database = database.Introspector, PollDeadline = TimeSpan.FromSeconds(5), MostSilence = TimeSpan.FromSeconds(30), Lease = TimeSpan.FromSeconds(lease), Heartbeat = TimeSpan.FromSeconds(heartbeat) };
        var introspector = await TestProcess.StartReadyAsync("introspector", s =>
        {
            s.AddIntrospector();
            s.AddSingleton(patient);
        }, a => a.MapIntrospector(), new() { ["CLAW_DATABASE_INTROSPECTOR"] = database.Introspector });
        var fake = await FakeIssuer.StartAsync(Path.GetDirectoryName(issuer.CaFile)!, new(issuer.Channel().Calls), Key);
        var all = new Dictionary<string, string?>
        {
            ["CLAW_ISSUER"] = fake.Address.ToString(),
            ["CLAW_INTROSPECTOR"] = introspector.Address.ToString(),
        };
        var process = await TestProcess.StartReadyAsync("verifier", s =>
        {
            s.AddVerifier();
            s.AddSingleton(new ClientOptions { MaxStaleness = TimeSpan.FromSeconds(lease), CatchUpTimeout = TimeSpan.FromSeconds(20), CallTimeout = TimeSpan.FromSeconds(5) });
        }, a => a.MapVerifier(), all);
        var fixture = new VerifierFixture(database, issuer, fake, introspector, process);
        var keys = process.Services.GetRequiredService<KeyCache>();
        await Eventually.HoldsAsync("there is a lease, and the keys are as new as the feed says", () => fixture.Follower.LeaseLeft > TimeSpan.Zero && !keys.IsBehind);
        return fixture;
    }

    /// <summary>A canonical token, good for ten minutes, signed as the Issuer would.</summary>
    public static SignedToken Sign(Func<TokenClaims, TokenClaims>? change = null, SigningKey? key = null)
    {
        var claims = TestKeys.Canonical(DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        claims = change?.Invoke(claims) ?? claims;
        return TokenSigner.Sign(claims.TokenScopeHash is null ? claims with { TokenScopeHash = claims.ComputeScopeHash() } : claims, key ?? Key);
    }

    public async Task RevokeAsync(SignedToken token)
    {
        var answer = await new RevocationService.RevocationServiceClient(_issuer.Channel().Calls)
            .RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { Token = token.Compact } }, Reason = "test" });
        Assert.NotNull(Assert.Single(answer.Results).Revocation);
    }

    public async Task<VerifyTokenResponse> VerifyAsync(string token, TokenRequirements? requirements = null) =>
        await Verification.VerifyTokenAsync(new VerifyTokenRequest { Token = token, Requirements = requirements });

    public async Task<VerifyTokenControlResponse> ControlAsync(string token, Action<VerifyTokenControlRequest>? ask = null)
    {
        var request = new VerifyTokenControlRequest { Token = token };
        ask?.Invoke(request);
        return await Verification.VerifyTokenControlAsync(request);
    }

    public async ValueTask DisposeAsync()
    {
        await Process.DisposeAsync();
        await Issuer.DisposeAsync();
        await Introspector.DisposeAsync();
        await _issuer.DisposeAsync();
        await _database.DisposeAsync();
    }
}
