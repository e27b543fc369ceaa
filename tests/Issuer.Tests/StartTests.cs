using ClawBureau.Hosting;

namespace ClawBureau.Issuer.Tests;

public sealed class StartTests
{
    [Theory]
    [InlineData("CLAW_DATABASE_ISSUER", null, "CLAW_DATABASE_ISSUER")]
    [InlineData("SCOPE_SIGNING_KEY", null, "No signing key")]
    [InlineData("SCOPE_SIGNING_KEY", "tooShort", "signing keys cannot be used")]
    [InlineData("SCOPE_POLICY_JSON", "{", "SCOPE_POLICY_JSON")]
    [InlineData("SCOPE_MAX_TTL_SECONDS", "an hour", "SCOPE_MAX_TTL_SECONDS")]
    [InlineData("SCOPE_REVOCATION_TTL_SECONDS", "5", "SCOPE_REVOCATION_TTL_SECONDS")]
    public async Task A_setting_that_cannot_be_used_stops_the_start_with_a_sentence_that_names_it(string name, string? value, string sentence)
    {
        var refused = await Assert.ThrowsAsync<StartRefused>(() => IssuerFixture.StartAsync(new Dictionary<string, string?> { [name] = value }));
        Assert.Contains(sentence, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("tooShort", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_Issuers_with_the_same_keys_announce_them_once()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        Assert.Equal("fe2b99fd9afaa999|1", await issuer.ScalarAsync<string>("SELECT kid || '|' || (SELECT count(*) FROM ledger.events WHERE kind = 5) FROM ledger.keys"));
    }
}
