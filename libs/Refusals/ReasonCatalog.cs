using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using ClawBureau.Protos.Types.V1;
using Grpc.Core;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Hosting.Refusals;

/// <summary>Every reason with its meaning, read from the descriptor of reasons.proto.</summary>
public static class ReasonCatalog
{
    private const string Prefix = "REASON_";

    private static readonly FrozenDictionary<Reason, ReasonEntry> ByReason = Read().ToFrozenDictionary(entry => entry.Reason);
    private static readonly FrozenDictionary<string, ReasonEntry> ByCode = ByReason.Values.ToFrozenDictionary(entry => entry.Code, StringComparer.Ordinal);

    public static IReadOnlyCollection<ReasonEntry> All => ByReason.Values;

    /// <exception cref="KeyNotFoundException">The reason has no entry: Unspecified, or one that reasons.proto does not have.</exception>
    public static ReasonEntry Of(Reason reason) => ByReason[reason];

    /// <param name="reason">Any value, also one that reasons.proto does not have.</param>
    /// <param name="entry">Null when there is none.</param>
    public static bool TryFind(Reason reason, [NotNullWhen(true)] out ReasonEntry? entry) => ByReason.TryGetValue(reason, out entry);

    /// <param name="code">As it travels, without REASON_.</param>
    /// <param name="entry">Null when this version does not know the code.</param>
    public static bool TryFind(string code, [NotNullWhen(true)] out ReasonEntry? entry) => ByCode.TryGetValue(code, out entry);

    private static IEnumerable<ReasonEntry> Read()
    {
        foreach (var value in ReasonsReflection.Descriptor.EnumTypes.Single(type => type.Name == "Reason").Values)
        {
            if (value.GetOptions()?.GetExtension(ReasonOptionsExtensions.Refusal) is { } spec)
                yield return new((Reason)value.Number, value.Name[Prefix.Length..], spec.Sentence, (StatusCode)(int)spec.GrpcCode, spec.HttpStatus, spec.Remedy);
        }
    }
}
