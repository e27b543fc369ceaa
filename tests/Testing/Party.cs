using System.Text;
using ClawBureau.Tokens;

namespace ClawBureau.Testing;

/// <summary>Somebody with a key: an owner, a controller or an agent.</summary>
public sealed class Party
{
    private readonly byte[] _seed;
    private readonly byte[] _publicKey = new byte[Ed25519.PublicKeyLength];

    public Party(byte[] seed)
    {
        _seed = seed;
        Ed25519.PublicKeyFromSeed(seed, _publicKey);
        Did = DidKey.Of(_publicKey);
    }

    public string Did { get; }

    public static Party New() => new(System.Security.Cryptography.RandomNumberGenerator.GetBytes(Ed25519.SeedLength));

    /// <summary>Ed25519 over the UTF-8 bytes, base64url.</summary>
    public string Sign(string message)
    {
        var signature = new byte[Ed25519.SignatureLength];
        Ed25519.Sign(_seed, _publicKey, Encoding.UTF8.GetBytes(message), signature);
        return Base64UrlText.Encode(signature);
    }

    public override string ToString() => Did;
}
