using System.Text;
using ClawBureau.Ledger;
using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer.Control;

/// <summary>What every signed request has: who signs, the challenge, the signature over its message.</summary>
internal sealed record SignedOrder(string OwnerDid, string ChallengeId, string Signature, Correlation Correlation);

/// <summary>The checks that all mutations share, each in its place of the contract's order (control-plane-http.md 2.3).</summary>
internal static class Signed
{
    /// <summary>CHALLENGE_NOT_FOUND, CHALLENGE_PURPOSE_MISMATCH, CHALLENGE_CONTEXT_MISMATCH, CHALLENGE_EXPIRED, OWNER_BINDING_REQUIRED.</summary>
    /// <param name="fits">That it was made for what is asked now.</param>
    /// <param name="usedFor">The challenge that the record's present state was signed with: asked once more with it, the
    /// request is a retry and is answered as it stands.</param>
    public static async Task<Challenge> RequireChallengeAsync(
        this ControlSnapshot snapshot, SignedOrder order, string purpose, Func<Challenge, bool> fits, string? usedFor = null)
    {
        var challenge = await snapshot.FindChallengeAsync(order.ChallengeId);
        if (challenge is null || (challenge.ConsumedSeq is not null && challenge.ChallengeId != usedFor)) throw new Refusal(Reason.ChallengeNotFound);
        if (challenge.Purpose != purpose) throw new Refusal(Reason.ChallengePurposeMismatch);
        if (challenge.OwnerDid != order.OwnerDid || !fits(challenge)) throw new Refusal(Reason.ChallengeContextMismatch);
        if (challenge.ConsumedSeq is null && snapshot.Now > challenge.ExpiresAt) throw new Refusal(Reason.ChallengeExpired);
        await snapshot.RequireBindingAsync(order.OwnerDid, Reason.OwnerBindingRequired);
        return challenge;
    }

    /// <exception cref="Refusal"><paramref name="reason"/>: the DID has no active binding.</exception>
    public static async Task<Binding> RequireBindingAsync(this ControlSnapshot snapshot, string did, Reason reason) =>
        await snapshot.FindBindingAsync(did) is { Active: true } binding ? binding : throw new Refusal(reason);

    /// <exception cref="Refusal">UNSUPPORTED_DID, INVALID_DID, SIGNATURE_INVALID.</exception>
    public static void RequireSignature(Challenge challenge, string did, string signature, Reason reason = Reason.SignatureInvalid)
    {
        if (!Verifies(DidKey.Read(did), challenge.Message, signature)) throw new Refusal(reason);
    }

    // The contract's decoder is lenient. Nothing is ever looked up by a signature, so its spelling does not matter.
    private static bool Verifies(VerificationKey key, string message, string signature)
    {
        Span<byte> bytes = stackalloc byte[Ed25519.SignatureLength];
        var text = signature.TrimEnd('=').Replace('+', '-').Replace('/', '_');
        return Base64UrlText.TryDecode(text.AsSpan(), bytes, out int written) && written == bytes.Length
            && key.Verify(Encoding.UTF8.GetBytes(message), bytes);
    }
}

/// <summary>What must be there before anything is looked up.</summary>
internal static class SignedOrderFields
{
    /// <exception cref="Refusal">INVALID_REQUEST</exception>
    public static void RequireFields(this SignedOrder order, params ReadOnlySpan<(string Field, string? Text)> more)
    {
        Require("owner_did", order.OwnerDid);
        foreach (var (field, text) in more) Require(field, text);
        Require("challenge_id", order.ChallengeId);
        Require("signature_b64u", order.Signature);

        static void Require(string field, string? text)
        {
            if (string.IsNullOrEmpty(text)) throw Refusal.OfField(Reason.InvalidRequest, field, $"{field} is required");
        }
    }
}
