using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace ClawBureau.Tokens.Tests;

/// <summary>The published documents of contract sections 3 and 4.3.</summary>
public sealed class KeyDocumentTests
{
    private const string X39 = "D1jAZpCQF2p71WOgyYsIFYcTnYx-CaqtNFXMlwYM-aM";

    [Fact]
    public void JWKS_lists_accepted_keys_signing_keys_first()
    {
        using var ring = Ring();
        Assert.Equal(
            """{"keys":[{"kty":"OKP","crv":"Ed25519","x":"VCgh6VKd0a0kO_3_XGQKZRlLSBaYemUN6GHXzp5BemM","kid":"fe2b99fd9afaa999","alg":"EdDSA","use":"sig","ext":true},"""
            + """{"kty":"OKP","crv":"Ed25519","x":"fjDhMgb8f7hMQiOevSW-p5nVYN5eup_8YSOrnyDSR40","kid":"9f5ef94aaeb7425d","alg":"EdDSA","use":"sig","ext":true}]}""",
            Encoding.UTF8.GetString(JsonWebKeys.Write(ring.AcceptedAt(TestTokens.Now.AddSeconds(101)))));
        Assert.Equal(3, ring.AcceptedAt(TestTokens.Now.AddSeconds(100)).Count());
        Assert.DoesNotContain("alg", Encoding.UTF8.GetString(JsonWebKeys.Write(ring.AcceptedAt(TestTokens.Now), null)), StringComparison.Ordinal);
    }

    [Fact]
    public void Rotation_contract_has_its_members_in_order()
    {
        using var ring = Ring();
        var json = Encoding.UTF8.GetString(RotationContract.Of(ring, 3600, TestTokens.Now).ToJson());
        Assert.Equal(
            """{"contract_version":"2","key_algorithm":"Ed25519","active_kid":"fe2b99fd9afaa999","accepted_kids":["fe2b99fd9afaa999","9f5ef94aaeb7425d","6c85026b6a2e08b6"],"""
            + """ "signing_kids":["fe2b99fd9afaa999","9f5ef94aaeb7425d"],"verify_only_kids":["6c85026b6a2e08b6"],"overlap_seconds":3600,"overlap_window_open":true,"""[1..]
            + """ "expiring_kids":[{"kid":"6c85026b6a2e08b6","not_after_unix":1795194999}],"revocation_stream_endpoint":"/v1/revocations/stream","jwks_endpoint":"/v1/jwks"}"""[1..],
            json);
    }

    [Theory]
    [InlineData(0, 3, false)]
    [InlineData(3600, 3, true)]
    public void The_overlap_window_is_open_while_more_than_one_key_is_accepted(long overlap, int accepted, bool open)
    {
        using var ring = Ring();
        var contract = RotationContract.Of(ring, overlap, TestTokens.Now);
        Assert.Equal((accepted, open), (contract.AcceptedKids.Count, contract.IsOverlapWindowOpen));
    }

    [Fact]
    public void A_snapshot_is_hashed_and_signed_over_its_first_nine_members()
    {
        using var ring = Ring();
        var snapshot = KeyTransparencySnapshot.Create(RotationContract.Of(ring, 3600, TestTokens.Now), ring.Active, TestTokens.Now);
        var payload = snapshot.SignedPayload();
        using var document = JsonDocument.Parse(payload);
        Assert.Equal(
            ["snapshot_version", "generated_at", "generated_at_iso", "active_kid", "accepted_kids", "signing_kids", "verify_only_kids", "expiring_kids", "overlap_seconds"],
            document.RootElement.EnumerateObject().Select(member => member.Name));
        Assert.Equal("2026-11-20T17:14:59.000Z", document.RootElement.GetProperty("generated_at_iso").GetString());
        Assert.Equal("kts_1795194899_fe2b99fd9afaa999", snapshot.Id);
        Assert.Equal(Base64UrlText.Encode(SHA256.HashData(payload)), snapshot.Hash);
        var signature = new byte[64];
        Assert.True(Base64UrlText.TryDecode(snapshot.Signature, signature, out _));
        Assert.True(ring.Active.VerificationKey.Verify(payload, signature));
    }

    private static KeyRing Ring() => KeyRing.FromSeeds(
        [TestTokens.Seed(11), TestTokens.Seed(23)],
        [new VerificationKey(Decoded(X39), KeyState.VerifyOnly, TestTokens.Now.ToUnixTimeSeconds() + 100)]);

    private static byte[] Decoded(string text)
    {
        var bytes = new byte[32];
        Assert.True(Base64UrlText.TryDecode(text, bytes, out _));
        return bytes;
    }
}
