using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer.Control;

/// <summary>A grant that an owner asks to sign for.</summary>
internal sealed record ExchangeOrder
{
    public required string OwnerDid { get; init; }
    public required IReadOnlyList<string> Audience { get; init; }
    public required IReadOnlyList<string> Scope { get; init; }

    /// <summary>Null: as configured.</summary>
    public TimeSpan? Ttl { get; init; }
    public string? OwnerAttestationId { get; init; }
    public string? MissionId { get; init; }
    public string? ControllerDid { get; init; }
    public string? AgentDid { get; init; }
}

/// <summary>
/// Tokens without a long-lived secret (control-plane-http.md 2.9): the owner signs the grant and gets it. Using the challenge up
/// and minting are one act of the ledger, so a failed exchange burns nothing and a signature serves once.
/// </summary>
internal sealed class TokenExchange(ControlLedger ledger, Challenges challenges, TokenMint mint, CanonicalLane lane, ControlOptions options)
{
    private const string Prefix = "clawclaim:scope_exchange:v1:";
    private const int MostAudiences = 16;
    private const int MostAudienceLength = 256;
    private const int MostScopes = 64;
    private const int MostScopeLength = 128;
    private static readonly TimeSpan ShortestTtl = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LongestTtl = TimeSpan.FromHours(1);

    /// <exception cref="Refusal">RATE_LIMITED, INVALID_REQUEST, OWNER_BINDING_REQUIRED, INVALID_CANONICAL_CONTEXT, OWNER_ATTESTATION_NOT_FOUND, LEDGER_UNAVAILABLE.</exception>
    public async Task<(Challenge Challenge, TimeSpan Ttl)> ChallengeAsync(ExchangeOrder order, CancellationToken cancellationToken)
    {
        challenges.RequireAllowance();
        var audience = Sorted(order.Audience, "aud", MostAudiences, MostAudienceLength);
        var scope = Sorted(order.Scope, "scope", MostScopes, MostScopeLength);
        await ledger.ReadAsync(snapshot => snapshot.RequireBindingAsync(order.OwnerDid, Reason.OwnerBindingRequired), cancellationToken);
        if (order.ControllerDid is null != order.AgentDid is null) throw new Refusal(Reason.InvalidCanonicalContext);
        // Nothing registers attestations yet, so there is none to be found.
        if (order.OwnerAttestationId is not null) throw new Refusal(Reason.OwnerAttestationNotFound);

        var ttl = TimeSpan.FromSeconds(Math.Clamp(Math.Floor((order.Ttl ?? options.ExchangeTtl).TotalSeconds), ShortestTtl.TotalSeconds, LongestTtl.TotalSeconds));
        var (id, expires) = ($"scope_chl_{Guid.NewGuid()}", challenges.ExpiryOf(ttl));
        var json = new JsJsonWriter().BeginObject();
        Text(json, "agent_did", order.AgentDid);
        json.Name("aud").Value(audience);
        Text(json, "challenge_id", id);
        Text(json, "challenge_version", "1");
        Text(json, "controller_did", order.ControllerDid);
        json.Name("exp").Value(expires.ToUnixTimeSeconds());
        Text(json, "mission_id", order.MissionId);
        Text(json, "nonce", Base64UrlText.Encode(RandomNumberGenerator.GetBytes(16)));
        Text(json, "owner_attestation_id", order.OwnerAttestationId);
        Text(json, "owner_did", order.OwnerDid);
        json.Name("scope").Value(scope).Name("ttl_sec").Value((long)ttl.TotalSeconds).EndObject();
        var challenge = new Challenge
        {
            ChallengeId = id,
            Purpose = Purpose.ExchangeToken,
            OwnerDid = order.OwnerDid,
            Message = Prefix + Encoding.UTF8.GetString(json.Written),
            CreatedAt = (expires - ttl).UtcDateTime,
            ExpiresAt = expires.UtcDateTime,
            ControllerDid = order.ControllerDid,
            AgentDid = order.AgentDid,
        };
        await challenges.PutAsync(challenge, cancellationToken);
        return (challenge, ttl);
    }

    /// <exception cref="Refusal">TOKEN_EXCHANGE_* in the contract's order, then whatever the mint refuses; OWNER_BINDING_REQUIRED.</exception>
    public async Task<MintedToken> ExchangeAsync(SignedOrder order, string? runId, CancellationToken cancellationToken)
    {
        var challenge = await ledger.ReadAsync(async snapshot =>
        {
            var found = await snapshot.FindChallengeAsync(order.ChallengeId);
            if (found?.ConsumedSeq is not null) throw new Refusal(Reason.TokenExchangeChallengeUsed);
            if (found is null) throw new Refusal(Reason.TokenExchangeChallengeNotFound);
            if (found.Purpose != Purpose.ExchangeToken) throw new Refusal(Reason.TokenExchangeChallengeInvalid);
            if (found.OwnerDid != order.OwnerDid) throw new Refusal(Reason.TokenExchangeOwnerMismatch);
            if (snapshot.Now > found.ExpiresAt) throw new Refusal(Reason.TokenExchangeChallengeExpired);
            return found;
        }, cancellationToken);
        Signed.RequireSignature(challenge, order.OwnerDid, order.Signature, Reason.TokenExchangeSignatureInvalid);

        var request = ToRequest(challenge);
        var isCanonical = challenge.ControllerDid is not null;
        var correlation = order.Correlation with { MissionId = request.MissionId, RunId = runId };
        return await mint.IssueAsync(new MintOrder(request, isCanonical ? TokenLane.Canonical : TokenLane.Legacy, order.OwnerDid, correlation, IdempotencyKey: null, RequestHash: [])
        {
            Judge = isCanonical ? lane.JudgeAsync : (grant, _, cancel) => JudgeOwnerAsync(order.OwnerDid, grant, cancel),
            ChallengeId = challenge.ChallengeId,
        }, cancellationToken);
    }

    /// <summary>That both parties of a delegation are bound, and what that was read from.</summary>
    /// <exception cref="Refusal">DELEGATOR_BINDING_REQUIRED, DELEGATE_BINDING_REQUIRED, LEDGER_UNAVAILABLE.</exception>
    public Task<(Revision Revision, DateTime At)> CheckDelegationAsync(string delegatorDid, string delegateDid, CancellationToken cancellationToken) => ledger.ReadAsync(async snapshot =>
    {
        await snapshot.RequireBindingAsync(delegatorDid, Reason.DelegatorBindingRequired);
        await snapshot.RequireBindingAsync(delegateDid, Reason.DelegateBindingRequired);
        return ((await snapshot.ReadHeadAsync()).Revision, snapshot.Now);
    }, cancellationToken);

    /// <summary>Without a chain it is the owner himself who must still be bound when the token is made.</summary>
    private Task<ChainedGrant> JudgeOwnerAsync(string ownerDid, TokenGrant grant, CancellationToken cancellationToken) => ledger.ReadAsync(async snapshot =>
    {
        await snapshot.RequireBindingAsync(ownerDid, Reason.OwnerBindingRequired);
        return new ChainedGrant(grant, snapshot.Seen, (await snapshot.ReadHeadAsync()).ControlSeq);
    }, cancellationToken);

    /// <summary>What was signed is what is asked of the mint.</summary>
    private static TokenRequest ToRequest(Challenge challenge)
    {
        using var signed = JsonDocument.Parse(challenge.Message[Prefix.Length..]);
        var grant = signed.RootElement;
        return new TokenRequest
        {
            Sub = challenge.AgentDid ?? challenge.OwnerDid,
            Audience = Audience.Of([.. grant.GetProperty("aud").EnumerateArray().Select(value => value.GetString()!)]),
            Scope = [.. grant.GetProperty("scope").EnumerateArray().Select(value => value.GetString()!)],
            TtlSeconds = grant.GetProperty("ttl_sec").GetDouble(),
            OwnerRef = grant.GetProperty("owner_attestation_id").GetString(),
            MissionId = grant.GetProperty("mission_id").GetString(),
            OwnerDid = challenge.OwnerDid,
            ControllerDid = challenge.ControllerDid,
            AgentDid = challenge.AgentDid,
        };
    }

    private static string[] Sorted(IReadOnlyList<string> texts, string field, int most, int mostLength)
    {
        var sorted = texts.Select(JsText.Trim).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToArray();
        return sorted.Length > 0 && texts.Count <= most && sorted.All(text => text.Length > 0 && text.Length <= mostLength && StorableText.IsStorable(text))
            ? sorted
            : throw Refusal.OfField(Reason.InvalidRequest, field, $"{field} must be 1 to {most} texts of 1 to {mostLength} characters");
    }

    // Absent members are signed as null.
    private static void Text(JsJsonWriter json, string name, string? text)
    {
        if (text is null) json.Name(name).Null();
        else json.Name(name).Value(text);
    }
}
