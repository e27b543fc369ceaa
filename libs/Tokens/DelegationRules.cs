namespace ClawBureau.Tokens;

/// <summary>Rows 16 to 19 of contract 1.1: what a request may say of a delegation.</summary>
internal static class DelegationRules
{
    /// <returns>Null if the request has no delegation claim.</returns>
    internal static Delegation? Check(TokenRequest request, TokenLane lane, string sub, Did? ownerDid)
    {
        FieldRules.RequireText(request.DelegationId, "delegation_id", TokenLimits.MaxDelegationIdLength);
        var delegation = new Delegation // 16
        {
            Id = string.IsNullOrEmpty(request.DelegationId) || JsText.IsBlank(request.DelegationId) ? null : request.DelegationId,
            DelegatorDid = FieldRules.OptionalDid(request.DelegatorDid, "delegator_did", Reason.DelegatorDidInvalid),
            DelegateDid = FieldRules.OptionalDid(request.DelegateDid, "delegate_did", Reason.DelegateDidInvalid),
            PolicyHash = FieldRules.OptionalHash(
                request.DelegationPolicyHash, "delegation_policy_hash_b64u", Reason.DelegationPolicyHashInvalid),
            SpendCapMinor = OptionalDigits(request.DelegationSpendCapMinor),
            ExpiresAt = OptionalSeconds(request.DelegationExpiresAt),
        };
        if (delegation.IsEmpty) return null;

        if (delegation.DelegateDid is { } acting && acting.ToString() != sub) // 17
            throw new Refusal(Reason.DelegateDidSubMismatch);
        if (delegation.DelegatorDid is { } behind && ownerDid is { } owner && behind != owner) // 18
            throw new Refusal(Reason.DelegatorOwnerMismatch);
        if (request.Lane != "canonical" || lane != TokenLane.Canonical) // 19, and item 6: not on the legacy endpoint either
            throw new Refusal(Reason.DelegationCanonicalRequired);
        return delegation;
    }

    private static string? OptionalDigits(string? text)
    {
        const string field = "delegation_spend_cap_minor";
        if (text is null) return null;
        FieldRules.RequireText(text, field, TokenLimits.MaxSpendCapDigits);
        return text.Length > 0 && text.All(char.IsAsciiDigit)
            ? text
            : throw Refusal.OfField(Reason.DelegationSpendCapInvalid, field);
    }

    private static long? OptionalSeconds(double? value) => value is { } seconds && double.IsFinite(seconds)
        ? (long)Math.Clamp(Math.Floor(seconds), 0, TokenLimits.MaxEpochSeconds)
        : null;
}
