using ClawBureau.Protos.Types.V1;

namespace ClawBureau.Protos.Tests;

/// <summary>docs/errors.md is what a person looks a reason up in; it says what the contract says.</summary>
public sealed class ErrorsPageTests
{
    [Fact]
    public void The_page_of_reasons_says_what_the_contract_says()
    {
        var page = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "docs", "errors.md")).Where(line => line.StartsWith("| `", StringComparison.Ordinal)).ToList();
        var contract = ReasonsReflection.Descriptor.FindTypeByName<Google.Protobuf.Reflection.EnumDescriptor>("Reason").Values
            .Where(value => value.Number != 0)
            .OrderBy(value => value.Number)
            .Select(value => Row(value.Name["REASON_".Length..], value.GetOptions().GetExtension(ReasonOptionsExtensions.Refusal)))
            .ToList();
        var wrong = page.Except(contract).ToList();
        var missing = contract.Except(page).ToList();

        Assert.True(wrong.Count == 0, "Not in the contract, or told otherwise there; take these lines out of docs/errors.md:\n" + string.Join('\n', wrong));
        Assert.True(missing.Count == 0, "Not on the page; put these lines under their heading in docs/errors.md:\n" + string.Join('\n', missing));
        Assert.Equal(contract, page);
    }

    private static string Row(string code, RefusalSpec spec) =>
        $"| `{code}` | {GrpcName(spec.GrpcCode)} | {spec.HttpStatus} | {Cell(spec.Sentence)} | {Cell(spec.Remedy)} |";

    // INVALID_ARGUMENT of InvalidArgument.
    private static string GrpcName(GrpcCode code) =>
        string.Concat(code.ToString().Select((letter, place) => place > 0 && char.IsUpper(letter) ? "_" + letter : letter.ToString())).ToUpperInvariant();

    private static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal);
}
