using System.Globalization;
using System.Text;
using System.Text.Json;

namespace ClawBureau.Tokens.Tests;

public sealed class CanonicalJsonTests
{
    public static TheoryData<string, string> Numbers
    {
        get
        {
            var rows = new TheoryData<string, string>();
            foreach (var row in Vectors.Read("numbers.json").EnumerateArray())
                rows.Add(row.GetProperty("bits").GetString()!, row.GetProperty("text").GetString()!);
            return rows;
        }
    }

    [Theory, MemberData(nameof(Numbers))]
    public void Numbers_are_spelt_as_ECMAScript_spells_them(string bits, string text)
    {
        var number = BitConverter.UInt64BitsToDouble(ulong.Parse(bits, NumberStyles.HexNumber));
        Assert.Equal(text, Text(new JsJsonWriter().Value(number).Written));
    }

    [Theory]
    [InlineData(1.0, "1")]
    [InlineData(1e-7, "1e-7")]
    [InlineData(1.5e-7, "1.5e-7")]
    [InlineData(123e-5, "0.00123")]
    [InlineData(1e21, "1e+21")]
    [InlineData(1e20, "100000000000000000000")]
    [InlineData(12.5, "12.5")]
    [InlineData(-0.5, "-0.5")]
    [InlineData(1e100, "1e+100")]
    [InlineData(2.98023223876953125e-8, "2.9802322387695312e-8")] // 2^-25, which .NET's own shortest text does not give back
    [InlineData(4.1045368012983762e-289, "4.1045368012983762e-289")] // 2^-958, the same
    public void Layout_changes_at_the_powers_ECMAScript_names(double number, string text) =>
        Assert.Equal(text, Text(new JsJsonWriter().Value(number).Written));

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void What_is_no_number_is_not_written(double number) =>
        Assert.Throws<ArgumentException>(() => new JsJsonWriter().Value(number));

    [Fact]
    public void The_example_of_RFC_8785_comes_out_as_printed_there()
    {
        const string input = """
            {"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
             "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
             "literals":[null,true,false]}
            """;
        const string expected =
            """{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}""";
        Assert.Equal(expected, Text(CanonicalJson.Of(Encoding.UTF8.GetBytes(input))));
    }

    [Fact]
    public void Members_are_sorted_by_UTF16_unit()
    {
        const string input = """{"\ufb33":1,"\ud83d\ude00":2,"\u20ac":3,"1":4,"\r":5,"\u00f6":6,"a":{"c":1,"b":2}}""";
        const string expected = "{\"\\r\":5,\"1\":4,\"a\":{\"b\":2,\"c\":1},\"ö\":6,\"€\":3,\"😀\":2,\"\ufb33\":1}";
        Assert.Equal(expected, Text(CanonicalJson.Of(Encoding.UTF8.GetBytes(input))));
    }

    [Theory]
    [InlineData("/<>&'+é\u2028\u007f", "/<>&'+é\u2028\u007f")]
    [InlineData("\b\t\n\f\r\"\\", """\b\t\n\f\r\"\\""")]
    [InlineData("\u0000\u001f", """\u0000\u001f""")]
    [InlineData("😀", "😀")]
    public void Only_what_JSON_stringify_escapes_is_escaped(string text, string written) =>
        Assert.Equal($"\"{written}\"", Text(new JsJsonWriter().Value(text).Written));

    [Fact]
    public void Half_a_surrogate_pair_is_escaped() // no InlineData: attributes cannot hold one
    {
        Assert.Equal("\"a\\ud800b\"", Text(new JsJsonWriter().Value("a\ud800b").Written));
        Assert.Equal("\"\\udc00\\ud800\"", Text(new JsJsonWriter().Value("\udc00\ud800").Written));
    }

    [Fact]
    public void A_member_that_stands_twice_has_no_canonical_form() =>
        Assert.Throws<ArgumentException>(() => CanonicalJson.Of("""{"a":1,"a":1}"""u8));

    [Fact]
    public void Two_documents_have_no_canonical_form() =>
        Assert.ThrowsAny<JsonException>(() => CanonicalJson.Of("{}{}"u8));

    private static string Text(ReadOnlySpan<byte> utf8) => Encoding.UTF8.GetString(utf8);
}
