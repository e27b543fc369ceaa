namespace ClawBureau.Tokens;

/// <summary>
/// The only thing thrown on purpose: a request that is refused, and why. It never carries token text, a seed or an API key;
/// what is worth telling goes into the metadata as names, limits and hashes.
/// </summary>
public sealed class Refusal : Exception
{
    private static readonly IReadOnlyDictionary<string, string> NoMetadata = new Dictionary<string, string>(0);

    /// <param name="reason">What the caller can act on; gRPC code, HTTP status and default sentence belong to it in reasons.proto.</param>
    /// <param name="sentence">For people; null means the reason's default sentence.</param>
    /// <param name="metadata">For programs: which field, which limit. Sent to the caller.</param>
    /// <param name="inner">What led to it; stays in this process.</param>
    public Refusal(
        Reason reason,
        string? sentence = null,
        IReadOnlyDictionary<string, string>? metadata = null,
        Exception? inner = null)
        : base(sentence ?? reason.ToString(), inner)
    {
        Reason = reason;
        Sentence = sentence;
        Metadata = metadata ?? NoMetadata;
    }

    public Reason Reason { get; }

    /// <summary>Null where the reason's default sentence is meant.</summary>
    public string? Sentence { get; }

    /// <summary>Never null.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>A refusal of one field of a request, which the metadata names as <c>field</c>.</summary>
    public static Refusal OfField(Reason reason, string field, string? sentence = null) =>
        new(reason, sentence, new Dictionary<string, string>(1) { ["field"] = field });
}
