using System.Numerics;
using Xunit.Abstractions;

namespace ClawBureau.Tokens.Tests;

/// <summary>
/// libsodium and libcrypto say the same of whatever they are given (SECURITY.md D8): signatures that are right, changed, or built at the
/// edges of the encoding. 4,000 inputs by default; CLAW_ED25519_INPUTS says how many, CLAW_ED25519_SEED where to begin, which is how a run
/// that ended is taken up: the seed of the first chunk that it did not finish.
/// </summary>
public sealed class Ed25519DifferentialTests(ITestOutputHelper output)
{
    private const int Chunk = 1000;
    private const int PerSignature = 10;

    private static readonly BigInteger GroupOrder = BigInteger.Pow(2, 252) + BigInteger.Parse("27742317777372353535851937790883648493");
    private static readonly BigInteger FieldOrder = BigInteger.Pow(2, 255) - 19;

    // Scalars around which implementations differ: 0, the group order, powers of two where checks of the top bits begin.
    private static readonly byte[][] EdgeScalars =
    [
        .. new[] { BigInteger.Zero, BigInteger.One, GroupOrder, 2 * GroupOrder, 8 * GroupOrder, BigInteger.Pow(2, 252), BigInteger.Pow(2, 253), BigInteger.Pow(2, 255), BigInteger.Pow(2, 256) - 1 }
            .SelectMany(edge => new[] { edge - 1, edge, edge + 1 }).Where(scalar => scalar.Sign >= 0 && scalar < BigInteger.Pow(2, 256)).Select(Encoded),
    ];

    // Encodings of points around which they differ: of small order, not canonical, just below and above p; each with either sign.
    private static readonly byte[][] EdgePoints =
    [
        .. new[]
            {
                BigInteger.Zero, BigInteger.One, FieldOrder - 1, FieldOrder, FieldOrder + 1, FieldOrder + 2, FieldOrder + 3, FieldOrder + 18, 2, 3, 4, FieldOrder - 2,
                BigInteger.Parse("2707385501144840649318225287225658788936804267575313519463743609750303402022"),
                BigInteger.Parse("55188659117513257062467267217118295137698188065244968500265048394206261417927"),
            }
            .SelectMany(y => new[] { y, y + BigInteger.Pow(2, 255) }).Select(Encoded),
    ];

    [Fact, Trait("Length", "Nightly")]
    public void Both_backends_agree_on_whatever_they_are_given()
    {
        if (Ed25519.Backends is not [var first, var second]) return; // one library here; nothing to compare
        var count = LongRun.Setting("CLAW_ED25519_INPUTS", 4_000);
        var seed = LongRun.Setting("CLAW_ED25519_SEED", 20_260_211);
        var run = new LongRun("ed25519", count);
        long accepted = 0, refused = 0;

        Parallel.For(0, (count + Chunk - 1) / Chunk, LongRun.OnEveryCore, chunk =>
        {
            var inputs = new Inputs((int)(seed + chunk), first, second);
            for (var number = 0; number < Chunk && chunk * Chunk + number < count; number++)
            {
                if (number % PerSignature == 0) inputs.SignAnother();
                inputs.Change(number);
                var verdict = first.Verify(inputs.PublicKey, inputs.Message, inputs.Signature);
                Assert.True(verdict == second.Verify(inputs.PublicKey, inputs.Message, inputs.Signature), $"CLAW_ED25519_SEED={seed + chunk}, number {number}: {inputs}");
                // What is in use says what each of them says.
                if (number % 100 == 1) Assert.Equal(verdict, Ed25519.Verify(inputs.PublicKey, inputs.Message, inputs.Signature));
                Interlocked.Increment(ref verdict ? ref accepted : ref refused);
            }
            run.Did(Chunk);
        });

        output.WriteLine($"{accepted + refused:N0} inputs from seed {seed}: {accepted:N0} accepted by both, {refused:N0} refused by both");
        Assert.Equal(count, accepted + refused);
        Assert.InRange(accepted, 1, count - 1);
    }

    [Fact]
    public void Of_any_signature_one_spelling_of_S_is_accepted()
    {
        using var key = TestTokens.Key();
        byte[] message = [1, 2, 3];
        var signature = key.Sign(message);
        var s = new BigInteger(signature.AsSpan(32), isUnsigned: true);
        foreach (var backend in Ed25519.Backends)
        {
            Assert.True(backend.Verify(key.PublicKey, message, signature));
            for (var added = s + GroupOrder; added < BigInteger.Pow(2, 256); added += GroupOrder)
                Assert.False(backend.Verify(key.PublicKey, message, [.. signature[..32], .. Encoded(added)]), $"{backend.Name}, {(added - s) / GroupOrder} L");
        }
    }

    private static byte[] Encoded(BigInteger value)
    {
        var bytes = new byte[32];
        value.TryWriteBytes(bytes, out _, isUnsigned: true);
        return bytes;
    }

    /// <summary>Signatures of a chunk, made by both libraries, and what is changed of them. Not safe for concurrent use.</summary>
    private sealed class Inputs(int seed, IEd25519 first, IEd25519 second)
    {
        private readonly Random _random = new(seed);
        private readonly byte[] _honestKey = new byte[32];
        private readonly byte[] _honestSignature = new byte[64];
        private byte[] _honestMessage = [];

        public byte[] PublicKey { get; private set; } = [];

        public byte[] Message { get; private set; } = [];

        public byte[] Signature { get; private set; } = [];

        public void SignAnother()
        {
            var seedBytes = Random(32);
            var (otherKey, otherSignature) = (new byte[32], new byte[64]);
            _honestMessage = Random(_random.Next(200));
            first.PublicKeyFromSeed(seedBytes, _honestKey);
            second.PublicKeyFromSeed(seedBytes, otherKey);
            first.Sign(seedBytes, _honestKey, _honestMessage, _honestSignature);
            second.Sign(seedBytes, _honestKey, _honestMessage, otherSignature);
            Assert.Equal(_honestKey, otherKey);
            Assert.Equal(_honestSignature, otherSignature);
        }

        public void Change(int number)
        {
            (PublicKey, Message, Signature) = ([.. _honestKey], [.. _honestMessage], [.. _honestSignature]);
            if (number % PerSignature == 0) return; // as it was signed
            switch (_random.Next(12))
            {
                case 0: Signature[_random.Next(64)] ^= (byte)(1 << _random.Next(8)); break;
                case 1: PublicKey[_random.Next(32)] ^= (byte)(1 << _random.Next(8)); break;
                case 2: Message = _random.Next(2) == 0 || Message.Length == 0 ? [.. Message, 0] : Message[1..]; break;
                case 3: // S + n·L: the same signature to a lax verifier
                    var s = new BigInteger(Signature.AsSpan(32), isUnsigned: true) + _random.Next(1, 16) * GroupOrder;
                    Encoded(s % BigInteger.Pow(2, 256)).CopyTo(Signature, 32);
                    break;
                case 4: PublicKey[31] ^= 0x80; break;
                case 5: Signature[31] ^= 0x80; break;
                case 6: _random.NextBytes(Signature); break;
                case 7: Pick(EdgeScalars).CopyTo(Signature, 32); break;
                case 8: Pick(EdgePoints).CopyTo(Signature, 0); break;
                case 9: Pick(EdgePoints).CopyTo(PublicKey, 0); break;
                case 10: // R = S·B - k·A holds for some of these by construction.
                    Pick(EdgePoints).CopyTo(PublicKey, 0);
                    Pick(EdgePoints).CopyTo(Signature, 0);
                    Pick(EdgeScalars).CopyTo(Signature, 32);
                    break;
                default:
                    (PublicKey, Signature) = _random.Next(2) == 0 ? (PublicKey[.._random.Next(32)], Signature) : (PublicKey, [.. Signature, .. new byte[_random.Next(1, 5)]]);
                    break;
            }
        }

        public override string ToString() => $"{Convert.ToHexString(PublicKey)} {Convert.ToHexString(Message)} {Convert.ToHexString(Signature)}";

        private byte[] Pick(byte[][] from) => from[_random.Next(from.Length)];

        private byte[] Random(int length)
        {
            var bytes = new byte[length];
            _random.NextBytes(bytes);
            return bytes;
        }
    }
}
