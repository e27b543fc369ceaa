using ClawBureau.Hosting;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Tokens;
using Reason = ClawBureau.Tokens.Reason;
using WireState = ClawBureau.Protos.Keys.V1.KeyState;

namespace ClawBureau.Issuer.Tests;

public sealed class KeySetTests
{
    // The contract's key vectors o = 23 (a second signing key) and o = 39 (the public half of a foreign one).
    private static readonly string SecondSeed = Base64UrlText.Encode([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 23))]);
    private const string ForeignKey = "D1jAZpCQF2p71WOgyYsIFYcTnYx-CaqtNFXMlwYM-aM";
    private const string Active = "fe2b99fd9afaa999", Second = "9f5ef94aaeb7425d", Foreign = "6c85026b6a2e08b6";

    [Fact]
    public async Task Anybody_reads_the_keys_signing_ones_first_in_the_order_of_the_configuration()
    {
        await using var issuer = await IssuerFixture.StartAsync(new Dictionary<string, string?>
        {
            ["SCOPE_SIGNING_KEYS_JSON"] = $"""["{IssuerFixture.Seed}","{SecondSeed}"]""",
            ["SCOPE_VERIFY_PUBLIC_KEYS_JSON"] = $$"""[{"x":"{{ForeignKey}}","not_after_unix":4102444800}]""",
            ["SCOPE_KEY_ROTATION_OVERLAP_SECONDS"] = "120",
            ["CLAW_ISSUER_DID"] = "did:web:issuer.example",
        });
        var keys = (await new KeyService.KeyServiceClient(issuer.Process.Channel(adminKey: null).Calls).GetKeySetAsync(new())).KeySet;

        Assert.Equal(
            [(Active, WireState.Active, true, false), (Second, WireState.VerifyOnly, true, false), (Foreign, WireState.VerifyOnly, false, true)],
            keys.Keys.Select(k => (k.Kid, k.State, k.CanSign, k.Foreign)));
        Assert.Equal([null, null, 4102444800L], keys.Keys.Select(k => k.NotAfter?.Seconds));
        Assert.Equal("VCgh6VKd0a0kO_3_XGQKZRlLSBaYemUN6GHXzp5BemM", Base64UrlText.Encode(keys.Keys[0].PublicKey.Span));
        Assert.Equal((Active, "2", "did:web:issuer.example", "EdDSA", false), (keys.ActiveKid, keys.ContractVersion, keys.IssuerDid, keys.JwsAlg, keys.JwsAlgMixed));
        Assert.Equal((120L, true, 300L), (keys.Overlap.Seconds, keys.OverlapWindowOpen, keys.JwksMaxAge.Seconds));
        Assert.Equal(await issuer.ScalarAsync<long>("SELECT max(seq) FROM ledger.keys"), keys.Seq);
        Assert.Equal(await issuer.ScalarAsync<Guid>("SELECT epoch FROM ledger.head"), Guid.Parse(keys.Epoch));
    }

    [Fact]
    public async Task A_retired_key_is_told_on_request_only_and_what_others_announced_is_told_after_our_own()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        await issuer.ScalarAsync<string>($"""
            INSERT INTO ledger.keys (kid, public_key, state, not_after, is_foreign, seq) VALUES
              ('{Foreign}', decode('{Convert.ToHexString(Decode(ForeignKey))}', 'hex'), 3, NULL, true, 900),
              ('{Second}', decode('{Convert.ToHexString(Decode("fjDhMgb8f7hMQiOevSW-p5nVYN5eup_8YSOrnyDSR40"))}', 'hex'), 2, NULL, false, 901) RETURNING kid
            """);
        var client = new KeyService.KeyServiceClient(issuer.Process.Channel().Calls);

        var current = (await client.GetKeySetAsync(new())).KeySet;
        Assert.Equal([Active, Second], current.Keys.Select(k => k.Kid));
        Assert.Equal(Active, current.ActiveKid);
        Assert.Equal((false, 3600L), (current.Keys[1].CanSign, current.Overlap.Seconds));

        var all = (await client.GetKeySetAsync(new() { IncludeRetired = true })).KeySet;
        Assert.Equal([Active, Second, Foreign], all.Keys.Select(k => k.Kid));
        Assert.Equal(WireState.Retired, all.Keys[2].State);
    }

    [Fact]
    public async Task Without_the_database_the_keys_are_not_told()
    {
        await using var issuer = await IssuerFixture.StartAsync(behindWire: true);
        await issuer.Wire.CutAsync();
        var refusal = await Assert.ThrowsAsync<Refusal>(async () => await new KeyService.KeyServiceClient(issuer.Process.Channel().Calls).GetKeySetAsync(new()));
        Assert.Equal(Reason.LedgerUnavailable, refusal.Reason);
    }

    [Theory]
    [InlineData("CLAW_ISSUER_DID", "clawscope.com")]
    [InlineData("SCOPE_KEY_ROTATION_OVERLAP_SECONDS", "-1")]
    public async Task A_key_setting_that_cannot_be_used_stops_the_start(string name, string value)
    {
        var refused = await Assert.ThrowsAsync<StartRefused>(() => IssuerFixture.StartAsync(new Dictionary<string, string?> { [name] = value }));
        Assert.Contains(name, refused.Message, StringComparison.Ordinal);
    }

    private static byte[] Decode(string text)
    {
        var bytes = new byte[32];
        Assert.True(Base64UrlText.TryDecode(System.Text.Encoding.ASCII.GetBytes(text), bytes, out _));
        return bytes;
    }
}
