using ClawBureau.Hosting.Refusals;
using ClawBureau.Tokens;

namespace ClawBureau.Edge;

/// <summary>Refusals as RFC 6749 5.2 words them, for callers that sent a form (RFC 7662, RFC 7009).</summary>
internal static class OAuthAnswer
{
    public static Answer Refuse(Refusal refusal)
    {
        var entry = ReasonCatalog.Of(refusal.Reason);
        var code = entry.HttpStatus switch
        {
            StatusCodes.Status401Unauthorized => "invalid_client",
            StatusCodes.Status403Forbidden => "unauthorized_client",
            >= 500 => "temporarily_unavailable",
            StatusCodes.Status429TooManyRequests => "temporarily_unavailable",
            _ => "invalid_request",
        };
        return new Answer(entry.HttpStatus, Answer.Write(json => json
            .Name("error").Value(code)
            .Name("error_description").Value(refusal.Sentence ?? entry.Sentence)
            .Name("reason").Value(entry.Code)))
        {
            Headers = entry.HttpStatus == StatusCodes.Status401Unauthorized ? [("WWW-Authenticate", "Basic realm=\"clawscope\", Bearer realm=\"clawscope\"")] : [],
        };
    }
}
