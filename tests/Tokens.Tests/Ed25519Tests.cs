using System.Numerics;
using System.Text.Json;

namespace ClawBureau.Tokens.Tests;

public sealed class Ed25519Tests
{
    private static readonly BigInteger GroupOrder = BigInteger.Pow(2, 252) + BigInteger.Parse("27742317777372353535851937790883648493");

    // The eight points of small order, and the encodings of three of them that are not canonical.
    public static TheoryData<string> SmallOrderPoints =>
    [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];

    public static TheoryData<int> BackendIndexes => [.. Enumerable.Range(0, Ed25519.Backends.Count)];

    [Fact]
    public void The_backend_in_use_is_named_and_libsodium_comes_first()
    {
        Assert.Equal(Ed25519.Backends[0].Name, Ed25519.Backend);
        if (Ed25519.Backends.Count == 2) Assert.StartsWith("libsodium", Ed25519.Backend, StringComparison.Ordinal);
        Assert.Contains(Ed25519.Backends, backend => backend.Name.StartsWith("OpenSSL", StringComparison.Ordinal));
    }

    [Theory, MemberData(nameof(BackendIndexes))]
    public void Wycheproof_is_answered_as_published(int index)
    {
        var backend = Ed25519.Backends[index];
        var seen = 0;
        foreach (var group in Vectors.Read("ed25519_test.json").GetProperty("testGroups").EnumerateArray())
        {
            var publicKey = Hex(group.GetProperty("publicKey"), "pk");
            foreach (var test in group.GetProperty("tests").EnumerateArray())
            {
                var valid = test.GetProperty("result").GetString() == "valid";
                Assert.True(valid == backend.Verify(publicKey, Hex(test, "msg"), Hex(test, "sig")),
                    $"{backend.Name}, test {test.GetProperty("tcId").GetInt32()}");
                seen++;
            }
        }
        Assert.Equal(151, seen);
    }

    [Theory, MemberData(nameof(SmallOrderPoints))]
    public void A_key_of_small_order_verifies_nothing_and_is_not_loaded(string encoded)
    {
        var point = Convert.FromHexString(encoded);
        Assert.Equal(Reason.SigningConfigInvalid, TestTokens.Refused(() => _ = new VerificationKey(point)).Reason);

        // R = S·B - k·A holds for some of these by construction: the identity as R, zero as S.
        var forged = new byte[64];
        forged[0] = 1;
        foreach (var backend in Ed25519.Backends)
        {
            for (var message = 0; message < 16; message++) Assert.False(backend.Verify(point, [(byte)message], forged));
        }
    }

    [Theory, MemberData(nameof(SmallOrderPoints))]
    public void A_signature_with_R_of_small_order_is_refused(string encoded)
    {
        var seed = TestTokens.Seed(11);
        var (publicKey, message) = (new byte[32], "m"u8.ToArray());
        Ed25519.PublicKeyFromSeed(seed, publicKey);
        // With r = 0 a holder of the key can make a signature whose R is the identity: S = k·a. OpenSSL alone would take it.
        var point = Convert.FromHexString(encoded);
        var k = new BigInteger(System.Security.Cryptography.SHA512.HashData([.. point, .. publicKey, .. message]), isUnsigned: true);
        var expanded = System.Security.Cryptography.SHA512.HashData(seed)[..32];
        expanded[0] &= 0xF8;
        expanded[31] = (byte)((expanded[31] & 0x7F) | 0x40);
        var s = k * new BigInteger(expanded, isUnsigned: true) % GroupOrder;
        byte[] signature = [.. point, .. Scalar(s)];
        foreach (var backend in Ed25519.Backends) Assert.False(backend.Verify(publicKey, message, signature), backend.Name);
    }

    [Theory]
    [InlineData("0200000000000000000000000000000000000000000000000000000000000000")] // y = 2 is on no point
    [InlineData("f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")] // y = p + 3
    [InlineData("00")]
    [InlineData("")]
    public void A_key_that_is_no_canonical_point_is_not_loaded(string encoded) =>
        Assert.Equal(Reason.SigningConfigInvalid, TestTokens.Refused(() => _ = new VerificationKey(Convert.FromHexString(encoded))).Reason);

    [Fact]
    public void A_thousand_honest_keys_are_loaded()
    {
        var random = new Random(1);
        var publicKey = new byte[32];
        for (var round = 0; round < 1000; round++)
        {
            Ed25519.PublicKeyFromSeed(RandomBytes(random, 32), publicKey);
            Assert.Equal(KeyId.Of(publicKey), new VerificationKey(publicKey).KeyId);
        }
    }

    [Fact]
    public void An_empty_message_is_signed_and_verified()
    {
        using var key = TestTokens.Key();
        Assert.True(key.VerificationKey.Verify([], key.Sign([])));
        foreach (var backend in Ed25519.Backends) Assert.True(backend.Verify(key.PublicKey, [], key.Sign([])));
    }

    [Theory, MemberData(nameof(BackendIndexes))]
    public void Wrong_lengths_never_reach_native_code(int index)
    {
        var backend = Ed25519.Backends[index];
        Assert.False(backend.Verify(new byte[31], [1], new byte[64]));
        Assert.False(backend.Verify(new byte[32], [1], new byte[63]));
        Assert.Throws<ArgumentException>(() => backend.Sign(new byte[31], new byte[32], [1], new byte[64]));
        Assert.Throws<ArgumentException>(() => backend.Sign(new byte[32], new byte[32], [1], new byte[65]));
        Assert.Throws<ArgumentException>(() => backend.PublicKeyFromSeed(new byte[32], new byte[31]));
    }

    private static byte[] Scalar(BigInteger value)
    {
        var bytes = new byte[32];
        value.TryWriteBytes(bytes, out _, isUnsigned: true);
        return bytes;
    }

    private static byte[] RandomBytes(Random random, int length)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }

    private static byte[] Hex(JsonElement element, string member) => Convert.FromHexString(element.GetProperty(member).GetString()!);
}
