using System.Text.Json;
using ClawBureau.Protos.Control.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;

namespace ClawBureau.ControlPlane.Tests;

public sealed class BindingTests
{
    [Fact]
    public async Task A_signed_challenge_binds_a_DID_once_and_stands_in_the_ledger()
    {
        await using var control = await ControlFixture.StartAsync();
        var party = Party.New();
        var challenge = await control.Bindings.CreateBindingChallengeAsync(new() { Did = $" {party.Did} " });
        Assert.Equal($"clawclaim:bind:v1:{challenge.ChallengeId}:{challenge.Nonce}:{challenge.ExpiresAt.Seconds}", challenge.Message);
        Assert.Equal((party.Did, BindingPurpose.Bind, 600L), (challenge.Did, challenge.Purpose, challenge.ExpiresIn.Seconds));

        var request = new BindDidRequest { Did = party.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = party.Sign(challenge.Message) };
        var bound = await control.Bindings.BindDidAsync(request);
        Assert.Equal((party.Did, false, challenge.ChallengeId), (bound.Did, bound.AlreadyBound, bound.ChallengeId));
        var payload = JsonDocument.Parse(await control.ScalarAsync<byte[]>($"SELECT payload FROM ledger.events WHERE seq = {bound.Act.Revision.Seq}")).RootElement;
        Assert.Equal(("did.bound", party.Did, party.Did), (payload.GetProperty("kind").GetString(), payload.GetProperty("did").GetString(), payload.GetProperty("by").GetString()));
        Assert.Equal(CanonicalJson.Of(payload), await control.ScalarAsync<byte[]>($"SELECT payload FROM ledger.events WHERE seq = {bound.Act.Revision.Seq}"));
        Assert.StartsWith("events:control-plane:", bound.Act.EventKey, StringComparison.Ordinal);

        Assert.True((await control.Bindings.BindDidAsync(request)).AlreadyBound);       // a retry
        Assert.True((await control.BindAsync(party)).AlreadyBound);
        Assert.Equal(1, await control.ScalarAsync<long>("SELECT count(*) FROM ledger.events WHERE kind = 20"));
    }

    [Fact]
    public async Task Of_many_uses_of_one_challenge_at_once_one_binds()
    {
        await using var control = await ControlFixture.StartAsync();
        await using var second = await ControlFixture.StartIssuerAsync(control.Database);
        var party = Party.New();
        var challenge = await control.Bindings.CreateBindingChallengeAsync(new() { Did = party.Did });
        var request = new BindDidRequest { Did = party.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = party.Sign(challenge.Message) };
        var clients = new[] { control.Bindings, new BindingService.BindingServiceClient(second.Channel(null).Calls) };

        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(async i => await clients[i % 2].BindDidAsync(request)));

        Assert.Single(answers, answer => !answer.AlreadyBound);
        Assert.Equal(1, await control.ScalarAsync<long>("SELECT count(*) FROM ledger.events WHERE kind = 20"));
    }

    public static TheoryData<string, Reason> Wrong => new()
    {
        { "no did", Reason.InvalidRequest },
        { "no challenge", Reason.InvalidRequest },
        { "no signature", Reason.InvalidRequest },
        { "unknown challenge", Reason.ChallengeNotFound },
        { "another's challenge", Reason.ChallengeDidMismatch },
        { "challenge to revoke", Reason.ChallengePurposeMismatch },
        { "did:web", Reason.UnsupportedDid },
        { "did:key of another curve", Reason.InvalidDid },
        { "another's signature", Reason.SignatureInvalid },
        { "signature of another text", Reason.SignatureInvalid },
        { "no base64url", Reason.SignatureInvalid },
        { "NUL", Reason.TextNotStorable },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public async Task What_is_wrong_is_refused_in_the_contract_s_order_and_binds_nothing(string what, Reason reason)
    {
        var control = await Shared.Value;
        var party = Party.New();
        var did = what switch { "did:web" => "did:web:example.com", "did:key of another curve" => "did:key:z6LSeu9HkTHSfLLeUs2nnzUSNedgDUevfNQgQjQC23ZCit6F", _ => party.Did };
        var challenge = await control.Bindings.CreateBindingChallengeAsync(new() { Did = did, Purpose = what == "challenge to revoke" ? BindingPurpose.Revoke : BindingPurpose.Bind });
        var request = new BindDidRequest { Did = did, ChallengeId = challenge.ChallengeId, SignatureB64U = party.Sign(challenge.Message) };
        switch (what)
        {
            case "no did": request.Did = " "; break;
            case "no challenge": request.ChallengeId = ""; break;
            case "no signature": request.SignatureB64U = ""; break;
            case "unknown challenge": request.ChallengeId = Guid.NewGuid().ToString(); break;
            case "another's challenge": request.Did = Party.New().Did; break;
            case "another's signature": request.SignatureB64U = Party.New().Sign(challenge.Message); break;
            case "signature of another text": request.SignatureB64U = party.Sign(challenge.Message + " "); break;
            case "no base64url": request.SignatureB64U = "!"; break;
            case "NUL": request.ChallengeId = "a\0b"; break;
        }
        await control.RefusesAsync(reason, () => control.Bindings.BindDidAsync(request).ResponseAsync);
        if (reason != Reason.SignatureInvalid) return;

        // A failed attempt does not use up the challenge.
        request.SignatureB64U = party.Sign(challenge.Message);
        Assert.False((await control.Bindings.BindDidAsync(request)).AlreadyBound);
    }

    [Fact]
    public async Task A_signature_is_taken_in_every_spelling_of_base64()
    {
        var control = await Shared.Value;
        var party = Party.New();
        var challenge = await control.Bindings.CreateBindingChallengeAsync(new() { Did = party.Did });
        var padded = party.Sign(challenge.Message).Replace('-', '+').Replace('_', '/') + "==";
        Assert.False((await control.Bindings.BindDidAsync(new() { Did = party.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = padded })).AlreadyBound);
    }

    [Fact]
    public async Task A_revoked_binding_is_revoked_for_ever_and_answered_with_its_first_time()
    {
        await using var control = await ControlFixture.StartAsync();
        var party = await control.BoundAsync();
        var revoked = await control.RevokeBindingAsync(party);
        Assert.False(revoked.AlreadyRevoked);
        var again = await control.RevokeBindingAsync(party);
        Assert.Equal((true, revoked.RevokedAt), (again.AlreadyRevoked, again.RevokedAt));
        Assert.Null(again.Act);

        await control.RefusesAsync(Reason.BindingRevoked, () => control.BindAsync(party));
        await control.RefusesAsync(Reason.BindingNotFound, () => control.RevokeBindingAsync(Party.New()));
        Assert.Equal("lost", await control.ScalarAsync<string>("SELECT revoked_reason FROM control.bindings WHERE NOT active"));
    }

    [Fact]
    public async Task A_challenge_made_before_the_revocation_binds_no_more()
    {
        await using var control = await ControlFixture.StartAsync();
        var party = Party.New();
        var early = await control.Bindings.CreateBindingChallengeAsync(new() { Did = party.Did });
        await control.BindAsync(party);
        await control.RevokeBindingAsync(party);
        await control.RefusesAsync(Reason.BindingRevoked, () =>
            control.Bindings.BindDidAsync(new() { Did = party.Did, ChallengeId = early.ChallengeId, SignatureB64U = party.Sign(early.Message) }).ResponseAsync);
    }

    [Fact]
    public async Task An_expired_challenge_is_refused()
    {
        await using var control = await ControlFixture.StartAsync(new Dictionary<string, string?> { ["CLAIM_CHALLENGE_TTL_SECONDS"] = "600" });
        var party = Party.New();
        var challenge = await control.Bindings.CreateBindingChallengeAsync(new() { Did = party.Did });
        await control.ScalarAsync<string>("UPDATE control.challenges SET expires_at = now() - interval '2 seconds' RETURNING challenge_id");
        await control.RefusesAsync(Reason.ChallengeExpired, () =>
            control.Bindings.BindDidAsync(new() { Did = party.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = party.Sign(challenge.Message) }).ResponseAsync);
    }

    [Theory]
    [InlineData("")]
    [InlineData("garbage")]
    [InlineData("did:key:")]
    public async Task What_is_no_DID_gets_no_challenge(string did)
    {
        var control = await Shared.Value;
        await control.RefusesAsync(Reason.InvalidRequest, () => control.Bindings.CreateBindingChallengeAsync(new() { Did = did }).ResponseAsync);
        Assert.Equal(0, await control.ScalarAsync<long>($"SELECT count(*) FROM control.challenges WHERE owner_did = '{did}'"));
    }

    [Fact]
    public async Task One_DID_has_a_bounded_number_of_open_challenges()
    {
        await using var control = await ControlFixture.StartAsync(new Dictionary<string, string?> { ["CLAIM_CHALLENGES_PER_DID"] = "3" });
        var party = Party.New();
        for (int i = 0; i < 3; i++) await control.Bindings.CreateBindingChallengeAsync(new() { Did = party.Did });
        await control.RefusesAsync(Reason.RateLimited, () => control.Bindings.CreateBindingChallengeAsync(new() { Did = party.Did }).ResponseAsync);
        await control.BoundAsync();             // nobody else is bothered
    }

    [Fact]
    public async Task Challenges_are_made_at_a_bounded_rate_and_old_ones_are_dropped()
    {
        await using var control = await ControlFixture.StartAsync(new Dictionary<string, string?> { ["CLAIM_CHALLENGES_PER_SECOND"] = "1" });
        async Task CreateAsync() => await control.Bindings.CreateBindingChallengeAsync(new() { Did = Party.New().Did });
        await CreateAsync();
        await control.ScalarAsync<string>("UPDATE control.challenges SET expires_at = now() - interval '2 hours' RETURNING challenge_id");
        var refusal = await Assert.ThrowsAsync<Refusal>(async () =>
        {
            for (int i = 0; i < 1000; i++) await CreateAsync();
        });
        Assert.Equal(Reason.RateLimited, refusal.Reason);
        Assert.Equal(0, await control.ScalarAsync<long>("SELECT count(*) FROM control.challenges WHERE expires_at < now()"));
    }

    private static readonly Lazy<Task<ControlFixture>> Shared = new(() => ControlFixture.StartAsync());
}
