namespace ClawBureau.Tokens;

/// <summary>
/// What is wrong with a token, as a value: reading and verifying end with one instead of throwing, because bad tokens are what an attacker
/// has plenty of, and an exception costs more than everything before it. Where a call is refused for it, <see cref="ToRefusal"/> makes it
/// a refusal. There is one instance of each, and none quotes the token.
/// </summary>
public sealed class TokenFault
{
    public static readonly TokenFault Revoked = new(Reason.TokenRevoked);

    internal static readonly TokenFault TooLong = Malformed($"CST token must have at most {TokenLimits.MaxTokenBytes} bytes");
    internal static readonly TokenFault NotCompact = Malformed("CST token must be a JWT (header.payload.signature)");
    internal static readonly TokenFault HeaderEncoding = Malformed("Invalid JWT header encoding");
    internal static readonly TokenFault HeaderNoObject = Malformed("Invalid JWT header");
    internal static readonly TokenFault HeaderType = Malformed("Token header typ must be JWT");
    internal static readonly TokenFault PayloadEncoding = Malformed("Invalid JWT payload encoding");
    internal static readonly TokenFault SignatureEncoding = Malformed("Invalid JWT signature encoding");
    internal static readonly TokenFault UnsupportedAlg = new(Reason.TokenUnsupportedAlg);
    internal static readonly TokenFault UnknownVersion = new(Reason.TokenUnknownVersion);
    internal static readonly TokenFault InvalidClaims = new(Reason.TokenInvalidClaims);
    internal static readonly TokenFault Expired = new(Reason.TokenExpired);
    internal static readonly TokenFault IssuedInFuture = new(Reason.TokenIssuedInFuture);
    internal static readonly TokenFault NoKeys = new(Reason.SigningNotConfigured);
    internal static readonly TokenFault UnknownKid = new(Reason.TokenUnknownKid);
    internal static readonly TokenFault KidExpired = new(Reason.TokenKidExpired);
    internal static readonly TokenFault SignatureInvalid = new(Reason.TokenSignatureInvalid);

    private TokenFault(Reason reason, string? sentence = null) => (Reason, Sentence) = (reason, sentence);

    public Reason Reason { get; }

    /// <summary>Null where the reason's default sentence is meant.</summary>
    public string? Sentence { get; }

    public Refusal ToRefusal() => new(Reason, Sentence);

    public override string ToString() => Sentence ?? Reason.ToString();

    internal static TokenFault Malformed(string sentence) => new(Reason.TokenMalformed, sentence);
}
