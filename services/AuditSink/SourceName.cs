using System.Text.RegularExpressions;
using ClawBureau.Hosting.Callers;

namespace ClawBureau.AuditSink;

/// <summary>Who may tell events under which name: the Issuers the ledger's, every other service its own.</summary>
internal static partial class SourceName
{
    public const string Ledger = "ledger";
    private const string LedgersWriter = "issuer";

    /// <summary>True for "ledger", and for "service/instance".</summary>
    public static bool IsValid(string source) => source == Ledger || Volatile().IsMatch(source);

    /// <summary>True when the source is the one that the caller's certificate names.</summary>
    public static bool BelongsTo(string source, Caller.Service caller) =>
        source == Ledger ? caller.ServiceName == LedgersWriter
        : Volatile().IsMatch(source) && source.StartsWith(caller.ServiceName + "/", StringComparison.Ordinal);

    [GeneratedRegex(@"\A[a-z0-9][a-z0-9-]{0,62}/[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z")]
    private static partial Regex Volatile();
}
