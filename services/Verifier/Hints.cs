using ClawBureau.Protos.Verification.V1;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Verifier;

/// <summary>What the holder of a refused token or chain can do (control-plane-http.md 3.1, 3.2).</summary>
internal static class Hints
{
    private static readonly RemediationHint ReissueToken = Hint(RemediationCode.ReissueToken, "The token cannot be used any more.", "Issue a new token and verify that one. Do not retry with this one.");
    private static readonly RemediationHint RefreshKeys = Hint(RemediationCode.SyncRevocationStream, "The verifier and the holder know different keys.", "Refresh /v1/keys/rotation-contract and /v1/jwks before retrying");
    private static readonly RemediationHint SyncStream = Hint(RemediationCode.SyncRevocationStream, "The token was revoked.", "Read /v1/revocations/stream and drop every token that it names.");
    private static readonly RemediationHint UseCanonicalLane = Hint(RemediationCode.UseCanonicalCstLane, "Only tokens of the canonical lane carry a verified control chain.", "Issue the token with POST /v1/tokens/issue/canonical.");
    private static readonly RemediationHint CheckChain = Hint(RemediationCode.CheckControlChainConfig, "The token's control chain is another one than was expected.", "Compare owner_did and controller_did with the control chain as it is registered now.");
    private static readonly RemediationHint RegisterAgent = Hint(RemediationCode.RegisterAgentUnderController, "The agent is not the one that was expected, or not registered under the controller.", "Register the agent under its controller, then issue a token for it.");
    private static readonly RemediationHint RegisterController = Hint(RemediationCode.RegisterController, "The controller is not registered.", "Register the controller under its owner.");
    private static readonly RemediationHint RegisterOwner = Hint(RemediationCode.RegisterOwnerBinding, "A binding of the chain is not active.", "Bind the owner's DID, then register controller and agent under it.");
    private static readonly RemediationHint RequestScope = Hint(RemediationCode.RequestRequiredScope, "The token lacks a required scope.", "Issue a token with the required scopes.");
    private static readonly RemediationHint UpdatePolicy = Hint(RemediationCode.UpdateSensitivePolicy, "The controller's policy may not allow it.", "Allow the scope in the controller's sensitive policy, then issue a new token.");
    private static readonly RemediationHint RequestAudience = Hint(RemediationCode.RequestRequiredAudience, "The token is for another audience.", "Issue a token with the required audience.");
    private static readonly RemediationHint RotateWithOverlap = Hint(RemediationCode.RotateKeysWithOverlap, "The token's key is not in the key transparency snapshot, or past its cut-off there.", "Rotate keys with an overlap that outlives the tokens of the old key; issue a new token.");

    /// <summary>In the contract's order; none where it names none.</summary>
    public static IReadOnlyList<RemediationHint> For(Reason reason) => reason switch
    {
        Reason.TokenControlKeyUnknown => [ReissueToken, RefreshKeys],
        Reason.TokenControlKeyExpired or Reason.ParseError => [ReissueToken],
        Reason.Revoked => [ReissueToken, SyncStream],
        Reason.ClaimNotFound => [ReissueToken],
        Reason.TokenControlChainMissing => [UseCanonicalLane],
        Reason.ControlChainContextMismatch => [CheckChain],
        Reason.TokenControlSubjectMismatch => [RegisterAgent],
        Reason.TokenControlScopeHashMismatch => [ReissueToken],
        Reason.TokenControlScopeMissing => [RequestScope, UpdatePolicy],
        Reason.TokenControlAudienceMismatch => [RequestAudience],
        Reason.TokenControlTransparencyStale => [RotateWithOverlap],
        Reason.TokenControlTransparencyKidUnknown or Reason.TokenControlTransparencyKidExpired => [RotateWithOverlap, ReissueToken],
        Reason.TokenControlTransitionForbidden => [UpdatePolicy, UseCanonicalLane],
        _ => [],
    };

    /// <summary>The same for a control chain that was asked about by itself.</summary>
    public static IReadOnlyList<RemediationHint> ForChain(Reason reason) => reason switch
    {
        Reason.ControlChainNotFound => [RegisterController, RegisterAgent],
        Reason.ControlChainContextMismatch => [CheckChain],
        Reason.ClaimNotFound => [RegisterOwner],
        _ => [],
    };

    private static RemediationHint Hint(RemediationCode code, string message, string action) => new() { Code = code, Message = message, Action = action };
}
