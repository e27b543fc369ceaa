using ClawBureau.Client;
using ClawBureau.Hosting.Claims;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Reason = ClawBureau.Tokens.Reason;
using TokenClaims = ClawBureau.Tokens.TokenClaims;
using TokenLane = ClawBureau.Tokens.TokenLane;
using TokenRequirements = ClawBureau.Client.TokenRequirements;

namespace ClawBureau.Verifier;

/// <summary>
/// Verifies a canonical token with everything that control of it rests on, in the order of control-plane-http.md 3.1, whose numbers
/// stand in the code: the first check that fails decides, and what the checks before it found is in the answer.
/// </summary>
internal sealed class TokenControl(TokenVerifier tokens, TransparencyCache transparency, ControlChains chains, VerifierOptions options, SteadyClock clock)
{
    private const string Valid = "Token satisfies control-chain, audience, scope, transition requirements, and key transparency policy";

    // Which tokens may do what is judged below, step by step; foreign ones may do nothing that control rests on.
    private static readonly TokenRequirements Anything = new() { AllowForeign = true };

    /// <exception cref="Refusal">MISSING_REQUIRED_FIELD, INVALID_DID_FORMAT; DEPENDENCY_NOT_CONFIGURED: what decides cannot be had freshly enough.</exception>
    public async Task<VerifyTokenControlResponse> VerifyAsync(VerifyTokenControlRequest request, Freshness freshness, CancellationToken cancellationToken)
    {
        RequireForm(request);                                                                                       // 1
        var verification = await VerifyTokenAsync(request.Token, freshness, cancellationToken);                     // 2
        var response = new VerifyTokenControlResponse { TokenHash = verification.TokenHash.ToString(), Confidence = Mapping.ToConfidence(verification.Confidence) };
        if (verification.IsRevoked)                                                                                 // 3
        {
            (response.Active, response.Revoked) = (false, true);
            return Fail(response, Reason.Revoked, "Token is revoked", "token", Reason.TokenRevoked);
        }
        if (!verification.IsValid)
        {
            var (code, cause) = (CodeOf(verification.Reason), verification.Reason);
            return Fail(response, code, code == Reason.ParseError ? verification.Explain() : null, "token", cause);
        }
        var claims = verification.Claims;
        (response.Active, response.Revoked, response.Claims) = (true, false, TokenClaimsMapping.ToWire(claims));

        if (claims is not { OwnerDid: { } owner, ControllerDid: { } controller, AgentDid: { } agent, Lane: TokenLane.Canonical })      // 4
            return Fail(response, Reason.TokenControlChainMissing, "Token is missing canonical owner/controller/agent chain claims", "token");
        if (request.ExpectedOwnerDid.Length > 0 && request.ExpectedOwnerDid != owner.ToString())
            return Fail(response, Reason.ControlChainContextMismatch, "Token owner_did does not match the expected owner", "expected_owner_did");
        if (request.ExpectedControllerDid.Length > 0 && request.ExpectedControllerDid != controller.ToString())
            return Fail(response, Reason.ControlChainContextMismatch, "Token controller_did does not match the expected controller", "expected_controller_did");
        if (request.ExpectedAgentDid.Length > 0 && request.ExpectedAgentDid != agent.ToString())
            return Fail(response, Reason.TokenControlSubjectMismatch, "Token agent_did does not match the expected agent", "expected_agent_did");

        if (claims.TokenScopeHash != claims.ComputeScopeHash())                                                     // 5
            return Fail(response, Reason.TokenControlScopeHashMismatch, null, "token_scope_hash_b64u");

        var missing = request.RequiredScope.Where(scope => !claims.Scope.Contains(scope)).ToArray();               // 6
        if (missing.Length > 0)
            return Fail(response, Reason.TokenControlScopeMissing, $"Token lacks required scope(s): {string.Join(", ", missing)}", "required_scope");
        var absent = request.RequiredAudience.Where(audience => !claims.Audience.Contains(audience)).ToArray();    // 7
        if (absent.Length > 0)
            return Fail(response, Reason.TokenControlAudienceMismatch, $"Token audience does not include: {string.Join(", ", absent)}", "required_audience");

        if (await JudgeTransparencyAsync(response, verification.KeyId, cancellationToken) is { } fault)             // 8
            return Fail(response, fault, null, "token");

        if (JudgeTransitions(response, request.RequiredTransitions, claims, verification.IsForeign) is { Length: > 0 } denied)      // 9
            return Fail(response, Reason.TokenControlTransitionForbidden, $"Transition(s) denied by matrix: {string.Join(", ", denied)}", "required_transitions");

        if (request.CheckLiveChain)
        {
            var chain = await chains.FindAsync(owner.ToString(), controller.ToString(), agent.ToString(), cancellationToken);
            if (chain.Fault is { } broken) return Fail(response, broken, chain.Sentence, "token", hints: Hints.ForChain(broken));
        }
        response.Verdict = Mapping.ToVerdict(null, Valid, null, clock.UtcNow);
        return response;
    }

    private static void RequireForm(VerifyTokenControlRequest request)
    {
        if (JsText.IsBlank(request.Token)) throw Refusal.OfField(Reason.MissingRequiredField, "token", "token is required");
        foreach (var (field, did) in new[]
        {
            ("expected_owner_did", request.ExpectedOwnerDid), ("expected_controller_did", request.ExpectedControllerDid), ("expected_agent_did", request.ExpectedAgentDid),
        })
        {
            if (did.Length > 0 && !Did.TryParse(did, out _)) throw Refusal.OfField(Reason.InvalidDidFormat, field, $"{field} is not a DID");
        }
    }

    private async Task<Verification> VerifyTokenAsync(string token, Freshness freshness, CancellationToken cancellationToken)
    {
        Verification verification;
        try
        {
            verification = await tokens.VerifyAsync(token, Anything, freshness, cancellationToken);
        }
        catch (Refusal refusal) when (refusal.Reason != Reason.InvalidRequest)
        {
            throw ControlChains.Unavailable("The token cannot be verified freshly enough", refusal);
        }
        return verification.Reason is Reason.SigningNotConfigured or Reason.SigningConfigInvalid
            ? throw ControlChains.Unavailable("There is no key to verify with", verification.ToRefusal())
            : verification;
    }

    /// <summary>The contract's code for a token that is not good.</summary>
    private static Reason CodeOf(Reason reason) => reason switch
    {
        Reason.TokenUnknownKid => Reason.TokenControlKeyUnknown,
        Reason.TokenKidExpired => Reason.TokenControlKeyExpired,
        _ => Reason.ParseError,
    };

    private async Task<Reason?> JudgeTransparencyAsync(VerifyTokenControlResponse response, KeyId observed, CancellationToken cancellationToken)
    {
        var snapshot = await transparency.ReadAsync(observed, cancellationToken);
        var kid = observed.ToString();
        response.TransparencySnapshot = new ObservedTransparency
        {
            SnapshotId = snapshot.SnapshotId,
            GeneratedAt = Timestamp.FromDateTimeOffset(snapshot.GeneratedAt),
            ActiveKid = snapshot.ActiveKid,
            AcceptedKids = { snapshot.AcceptedKids },
            KidObserved = kid,
        };
        var now = clock.UtcNow;
        if (now - snapshot.GeneratedAt > options.TransparencyMaxAge) return Reason.TokenControlTransparencyStale;
        if (!snapshot.AcceptedKids.Contains(kid)) return Reason.TokenControlTransparencyKidUnknown;
        return snapshot.NotAfter.TryGetValue(kid, out long end) && end < now.ToUnixTimeSeconds() ? Reason.TokenControlTransparencyKidExpired : null;
    }

    /// <returns>Those of the required transitions that are not allowed; an unknown one is not.</returns>
    private static string[] JudgeTransitions(VerifyTokenControlResponse response, IReadOnlyCollection<string> required, TokenClaims claims, bool isForeign)
    {
        if (required.Count == 0) return [];
        var rulings = TransitionMatrix.Judge(claims)
            .Select(ruling => isForeign && ruling.IsAllowed ? new TransitionRuling(ruling.Transition, Reason.TokenForeign, "Tokens of keys that never signed here make no transitions") : ruling)
            .ToList();
        response.TransitionMatrix.Add(rulings.Select(ruling => new TransitionDecision
        {
            Transition = ruling.Transition.Name,
            Allowed = ruling.IsAllowed,
            Reason = (Protos.Types.V1.Reason)(ruling.Denial ?? Reason.Unspecified),
            Sentence = ruling.Sentence,
        }));
        return [.. required.Where(name => !rulings.Any(ruling => ruling.Transition.Name == name && ruling.IsAllowed))];
    }

    private VerifyTokenControlResponse Fail(
        VerifyTokenControlResponse response, Reason reason, string? sentence, string? field, Reason? cause = null, IReadOnlyList<RemediationHint>? hints = null)
    {
        response.Verdict = Mapping.ToVerdict(reason, sentence, field, clock.UtcNow, cause);
        response.RemediationHints.Add(hints ?? Hints.For(reason));
        return response;
    }
}
