using ClawBureau.Hosting.Calls;
using ClawBureau.Hosting.Claims;
using ClawBureau.Hosting.Telemetry;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Introspector;

/// <summary>clawbureau.introspection.v1 on the wire.</summary>
public sealed partial class IntrospectionEndpoint(
    IFeedSource source, RevocationSet live, VerifiedTokenCache verifiedTokens, IntrospectionRights entitlement, IntrospectorClock clock, TimeProvider time) : IntrospectionRpcs
{
    public override async Task<EncodedResponse> IntrospectToken(IntrospectTokenRequest request, ServerCallContext context)
    {
        long started = time.GetTimestamp();
        if (JsText.IsBlank(request.Token)) throw Refusal.OfField(Reason.InvalidRequest, "token", "token is required");
        var rights = RightsOf(context);
        var reading = await ReadAsync(request.Consistency);
        var (known, answer) = Answer(request.Token, rights);
        answer ??= new IntrospectTokenResponse();
        answer.Revision = Mapping.ToRevision(reading.Revision);
        answer.Age = Mapping.ToDuration(time.GetElapsedTime(reading.StartedAt));
        SuiteMetrics.IntrospectionDuration.Record(
            time.GetElapsedTime(started).TotalSeconds, new KeyValuePair<string, object?>("result", known is not null || answer.Active ? "active" : answer.Revoked ? "revoked" : "inactive"));
        return new EncodedResponse(known is null ? [] : [known.Answer], answer);
    }

    /// <summary>How fresh the caller wants it; not said: nothing acknowledged before the call may be missing (L3).</summary>
    private Task<Reading> ReadAsync(Protos.Types.V1.Consistency? consistency) =>
        consistency is null or { ModeCase: Protos.Types.V1.Consistency.ModeOneofCase.None or Protos.Types.V1.Consistency.ModeOneofCase.Linearizable }
            ? source.JoinNextRead()
            : ReadKnownAsync(consistency);

    private async Task<Reading> ReadKnownAsync(Protos.Types.V1.Consistency consistency)
    {
        var latest = source.Latest;
        switch (consistency.ModeCase)
        {
            case Protos.Types.V1.Consistency.ModeOneofCase.Bounded:
                var bound = Mapping.ToTimeSpan(consistency.Bounded);
                if (bound is null || bound <= TimeSpan.Zero) throw Refusal.OfField(Reason.InvalidRequest, "consistency.bounded", "bounded must be positive");
                return latest.StartedAt != 0 && time.GetElapsedTime(latest.StartedAt) <= bound ? latest : await source.JoinNextRead();
            case Protos.Types.V1.Consistency.ModeOneofCase.AtLeast:
                var wanted = Mapping.ToRevision(consistency.AtLeast);
                var reading = Reaches(latest) ? latest : await source.JoinNextRead();
                if (reading.Revision.Epoch != wanted.Epoch) throw new Refusal(Reason.LedgerEpochMismatch);
                return Reaches(reading) ? reading : throw new Refusal(Reason.RevisionNotReached);

                bool Reaches(Reading r) => r.StartedAt != 0 && r.Revision.Epoch == wanted.Epoch && r.Revision.Seq >= wanted.Seq && r.Revision.RevocationSeq >= wanted.RevocationSeq;
            default:
                return await source.JoinNextRead();
        }
    }

    private CallerRights RightsOf(ServerCallContext context) => entitlement.Of(context.GetCaller());

    /// <returns>What is known of an active token in full; or else an answer of its own.</returns>
    private (ActiveToken? Known, IntrospectTokenResponse? Answer) Answer(string token, CallerRights rights)
    {
        var (verified, death, fault) = Judge(token);
        if (verified is null) return (null, Mapping.ToInactive(TokenHash.Of(token), fault!));         // a token that is not good is an answer
        if (!rights.Covers(verified.Claims)) return (null, Mapping.ToAnswer(verified, death, claims: null));
        return death is null ? (verified.Derive(ActiveToken.Of), null) : (null, Mapping.ToAnswer(verified, death, TokenClaimsMapping.ToWire(verified.Claims)));
    }

    /// <summary>The contract's decision order (clawscope-http.md 5.1): form, claims, expiry, key, signature, revocation.</summary>
    private (VerifiedToken? Token, Death? Death, TokenFault? Fault) Judge(string token)
    {
        if (verifiedTokens.TryVerify(token, source.Keys, clock.UtcNow, out var verified, out var fault)) return (verified, live.Find(verified), null);
        if (fault.Reason == Reason.SigningNotConfigured) throw fault.ToRefusal();
        if (fault.Reason != Reason.TokenRevoked) return (null, null, fault);
        // Its key signed it and is revoked. The block of the key says since when; where that was lifted, the key stays retired.
        var signed = JwsVerifier.VerifyRevoked(TokenParser.Parse(token), source.Keys);
        return live.Find(signed) is { } death ? (signed, death, null) : (null, null, fault);
    }
}
