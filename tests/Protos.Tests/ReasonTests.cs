using ClawBureau.Protos.Types.V1;
using Google.Protobuf.Reflection;

namespace ClawBureau.Protos.Tests;

public sealed class ReasonTests
{
    private static EnumDescriptor Wire => ReasonsReflection.Descriptor.EnumTypes.Single(type => type.Name == nameof(Reason));

    [Fact]
    public void Reasons_of_Tokens_are_those_of_the_contract()
    {
        var wire = Wire.Values.ToDictionary(value => PascalCase(value.Name["REASON_".Length..]), value => value.Number);
        var tokens = Enum.GetValues<Tokens.Reason>().ToDictionary(value => value.ToString(), value => (int)value);

        Assert.Equal(wire.OrderBy(pair => pair.Value), tokens.OrderBy(pair => pair.Value));
    }

    [Fact]
    public void Every_reason_says_what_it_means_and_what_to_do()
    {
        foreach (var value in Wire.Values.Where(value => value.Number != 0))
        {
            var spec = value.GetOptions()?.GetExtension(ReasonOptionsExtensions.Refusal);

            Assert.True(spec is not null, $"{value.Name} has no refusal option");
            Assert.True(spec.GrpcCode != GrpcCode.Unspecified && Enum.IsDefined(spec.GrpcCode), $"{value.Name}: grpc_code");
            Assert.True(spec.HttpStatus is >= 400 and <= 599, $"{value.Name}: http_status {spec.HttpStatus}");
            Assert.True(spec.Sentence.Length is > 0 and <= 120, $"{value.Name}: sentence of {spec.Sentence.Length} characters");
            Assert.True(spec.Remedy.Length is > 0 and <= 160, $"{value.Name}: remedy of {spec.Remedy.Length} characters");
            Assert.EndsWith(".", spec.Remedy, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Unspecified_means_nothing()
    {
        Assert.Equal("REASON_UNSPECIFIED", Wire.FindValueByNumber(0).Name);
        Assert.Null(Wire.FindValueByNumber(0).GetOptions()?.GetExtension(ReasonOptionsExtensions.Refusal));
    }

    // What generic clients do by code alone must be right: retry UNAVAILABLE, renew credentials on UNAUTHENTICATED.
    [Fact]
    public void Codes_and_statuses_tell_the_same_story()
    {
        foreach (var value in Wire.Values.Where(value => value.Number != 0))
        {
            var spec = value.GetOptions().GetExtension(ReasonOptionsExtensions.Refusal);

            Assert.True((spec.HttpStatus == 401) == (spec.GrpcCode == GrpcCode.Unauthenticated), $"{value.Name}: 401 and UNAUTHENTICATED go together");
            Assert.True(spec.GrpcCode != GrpcCode.Unavailable || spec.HttpStatus >= 502, $"{value.Name}: UNAVAILABLE is 502 or 503");
            Assert.True(spec.GrpcCode != GrpcCode.InvalidArgument || spec.HttpStatus is 400 or 422, $"{value.Name}: INVALID_ARGUMENT is 400 or 422");
        }
    }

    // The code numbers are those of gRPC, so that a cast converts.
    [Fact]
    public void Grpc_codes_have_the_numbers_of_gRPC()
    {
        foreach (var code in Enum.GetValues<GrpcCode>().Where(code => code != GrpcCode.Unspecified))
            Assert.Equal(code.ToString(), ((Grpc.Core.StatusCode)(int)code).ToString());
    }

    private static string PascalCase(string upper) =>
        string.Concat(upper.Split('_').Select(word => word[..1] + word[1..].ToLowerInvariant()));
}
