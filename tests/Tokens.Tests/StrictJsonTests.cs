using System.Text;
using System.Text.Json;

namespace ClawBureau.Tokens.Tests;

/// <summary>The judge of JSON says what the platform's reader says, and beyond it that no name stands twice and no text is half a character.</summary>
public sealed class StrictJsonTests
{
    [Theory]
    [InlineData("{}", true)]
    [InlineData(" \t\r\n{ } \n", true)]
    [InlineData("[]", true)]
    [InlineData("null", true)]
    [InlineData("-0", true)]
    [InlineData("-0.5e-07", true)]
    [InlineData("1E+400", true)]
    [InlineData("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"", true)]
    [InlineData("\"\\u0000\"", true)]
    [InlineData("[true,false,null,\"\",0]", true)]
    [InlineData("{\"\":0,\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":1}]}", true)]
    [InlineData("", false)]
    [InlineData(" ", false)]
    [InlineData("{", false)]
    [InlineData("{}{}", false)]
    [InlineData("{},", false)]
    [InlineData("{,}", false)]
    [InlineData("{\"a\"}", false)]
    [InlineData("{\"a\":}", false)]
    [InlineData("{\"a\":1,}", false)]
    [InlineData("{\"a\":1 \"b\":2}", false)]
    [InlineData("{a:1}", false)]
    [InlineData("{1:1}", false)]
    [InlineData("[1,]", false)]
    [InlineData("[1 2]", false)]
    [InlineData("[1}", false)]
    [InlineData("01", false)]
    [InlineData("+1", false)]
    [InlineData(".5", false)]
    [InlineData("1.", false)]
    [InlineData("1e", false)]
    [InlineData("1e+", false)]
    [InlineData("-", false)]
    [InlineData("--1", false)]
    [InlineData("0x1", false)]
    [InlineData("NaN", false)]
    [InlineData("Infinity", false)]
    [InlineData("tru", false)]
    [InlineData("True", false)]
    [InlineData("nulll", false)]
    [InlineData("\"", false)]
    [InlineData("\"\\", false)]
    [InlineData("\"\\\"", false)]
    [InlineData("\"\\x\"", false)]
    [InlineData("\"\\U0041\"", false)]
    [InlineData("\"\\u00g0\"", false)]
    [InlineData("\"\\u004", false)]
    [InlineData("\"\\ud83d\"", false)]
    [InlineData("\"\\ud83d \\ude00\"", false)]
    [InlineData("\"\\ud83d\\n\"", false)]
    [InlineData("\"\\ud83d\\ud83d\"", false)]
    [InlineData("\"\\ude00\\ud83d\"", false)]
    [InlineData("\"\u0001\"", false)]
    [InlineData("\"\n\"", false)]
    [InlineData("\u00a0{}", false)]
    [InlineData("\ufeff{}", false)]
    [InlineData("/**/{}", false)]
    [InlineData("{\"a\":1,\"a\":1}", false)]
    [InlineData("{\"a\":1,\"\\u0061\":1}", false)]
    [InlineData("{\"\\u0061\":1,\"a\":1}", false)]
    [InlineData("{\"\\u0061\":1,\"\\u0061\":1}", false)]
    [InlineData("{\"\":1,\"\":1}", false)]
    [InlineData("{\"a\":{\"b\":[{\"c\":1,\"c\":2}]}}", false)]
    public void A_document_passes_or_does_not(string text, bool passes)
    {
        var utf8 = Encoding.UTF8.GetBytes(text);
        Assert.Equal(passes, StrictJson.IsStrict(utf8));
        Assert.Equal(passes, IsStrictByTheBook(utf8));
    }

    [Fact]
    public void Names_of_one_length_that_share_their_beginning_are_told_apart()
    {
        foreach (var length in Enumerable.Range(1, 40))
        {
            var names = Enumerable.Range(0, 26).Select(i => new string('n', length - 1) + (char)('a' + i)).ToList();
            Assert.True(IsStrict(names));
            for (var twice = 0; twice < names.Count; twice++) Assert.False(IsStrict([.. names, names[twice]]), $"{length}, {twice}");
        }

        static bool IsStrict(List<string> names) => StrictJson.IsStrict(Encoding.UTF8.GetBytes($"{{{string.Join(',', names.Select(name => $"\"{name}\":0"))}}}"));
    }

    [Fact]
    public void Depth_and_members_are_bounded_at_every_level()
    {
        string Nested(int depth) => new string('[', depth) + new string(']', depth);
        Assert.True(IsStrict(Nested(TokenLimits.MaxJsonDepth)));
        Assert.False(IsStrict(Nested(TokenLimits.MaxJsonDepth + 1)));
        string Object(int members) => $"{{{string.Join(',', Enumerable.Range(0, members).Select(i => $"\"{i}\":{{}}"))}}}";
        Assert.True(IsStrict($"[{Object(TokenLimits.MaxJsonMembers)},{Object(TokenLimits.MaxJsonMembers)}]"));
        Assert.False(IsStrict($"[0,{Object(TokenLimits.MaxJsonMembers + 1)}]"));

        static bool IsStrict(string text) => StrictJson.IsStrict(Encoding.UTF8.GetBytes(text));
    }

    [Fact]
    public void Whatever_arrives_it_agrees_with_the_platforms_reader()
    {
        byte[][] seeds =
        [
            .. new[]
            {
                TestTokens.Payload(",\"unknown\":{\"a\":[1,\"\\u00e9\",null,true]},\"aud2\":\"é\",\"spend_cap\":1e-7"),
                """{"alg":"EdDSA","typ":"JWT","kid":"9f5ef94aaeb7425d"}""",
                """ [ {"a":-0.5E+10,"\ud83d\ude00":"😀\"\\\/\b"}, [[[[[[[[[[[[[[]]]]]]]]]]]]]], "", false ] """,
            }.Select(Encoding.UTF8.GetBytes),
        ];
        var random = new Random(20_261_126);
        var passed = 0;
        for (var round = 0; round < 60_000; round++)
        {
            var json = Mutated(random, seeds[round % seeds.Length]);
            var expected = IsStrictByTheBook(json);
            Assert.True(expected == StrictJson.IsStrict(json), $"round {round}: {Convert.ToHexString(json)}");
            if (expected) passed++;
        }
        Assert.InRange(passed, 5_000, 55_000);
    }

    private static byte[] Mutated(Random random, byte[] original)
    {
        var bytes = original.ToList();
        for (var changes = random.Next(1, 4); changes > 0 && bytes.Count > 0; changes--)
        {
            var at = random.Next(bytes.Count);
            switch (random.Next(6))
            {
                case 0: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 1: bytes.RemoveAt(at); break;
                case 2: bytes.Insert(at, (byte)random.Next(256)); break;
                case 3: bytes[at] = "{}[]\",:\\.0e-+u9 \n"u8[random.Next(17)]; break;
                case 4: bytes.InsertRange(at, random.Next(4) switch { 0 => "\\ud83d"u8, 1 => "\\u0061"u8, 2 => "\"a\":1,"u8, _ => "[{"u8 }); break;
                default: bytes.InsertRange(random.Next(bytes.Count), bytes.GetRange(at, random.Next(Math.Min(20, bytes.Count - at)))); break;
            }
        }
        return [.. bytes];
    }

    /// <summary>The platform's reader, whose word is an exception, and a set of names.</summary>
    private static bool IsStrictByTheBook(byte[] utf8)
    {
        try
        {
            var json = new Utf8JsonReader(utf8, new JsonReaderOptions { MaxDepth = TokenLimits.MaxJsonDepth });
            if (!json.Read()) return false;
            return Pass(ref json) && !json.Read();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)      // the latter: not Unicode
        {
            return false;
        }

        static bool Pass(ref Utf8JsonReader json)
        {
            switch (json.TokenType)
            {
                case JsonTokenType.StartObject:
                    var names = new HashSet<string>(StringComparer.Ordinal);
                    var fine = true;
                    while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
                    {
                        fine &= names.Add(json.GetString()!);
                        json.Read();
                        fine &= Pass(ref json);
                    }
                    return fine && names.Count <= TokenLimits.MaxJsonMembers;
                case JsonTokenType.StartArray:
                    var all = true;
                    while (json.Read() && json.TokenType != JsonTokenType.EndArray) all &= Pass(ref json);
                    return all;
                case JsonTokenType.String:
                    json.GetString();
                    return true;
                default:
                    return true;
            }
        }
    }
}
