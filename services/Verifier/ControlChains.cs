using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Control.V1;
using ClawBureau.Tokens;
using Revision = ClawBureau.Protos.Types.V1.Revision;

namespace ClawBureau.Verifier;

/// <summary>What became of a control chain: null reason when it is valid and active.</summary>
internal sealed record ChainFinding(Reason? Fault, string Sentence, string? Field, string PolicyHash, Revision? Revision);

/// <summary>Reads control chains where they are kept, and compares them with what is claimed (control-plane-http.md 3.2).</summary>
internal sealed class ControlChains(VerifierPeers peers)
{
    public const string Valid = "Owner/controller/agent chain is valid and active";

    /// <exception cref="Refusal">DEPENDENCY_NOT_CONFIGURED: the chain cannot be read now.</exception>
    public async Task<ChainFinding> FindAsync(string owner, string controller, string agent, CancellationToken cancellationToken)
    {
        GetControlChainResponse chain;
        try
        {
            chain = await peers.IssuerCalls.AskAsync(
                token => peers.Controllers.GetControlChainAsync(new() { ControllerDid = controller, AgentDid = agent }, cancellationToken: token).ResponseAsync, cancellationToken);
        }
        catch (Refusal refusal) when (refusal.Reason is Reason.ControllerNotFound or Reason.ControllerAgentNotFound or Reason.ControlChainNotFound)
        {
            return new ChainFinding(Reason.ControlChainNotFound, "Control chain not found", null, "", null);
        }
        catch (Refusal refusal)
        {
            throw Unavailable("The control chain cannot be read", refusal);
        }

        var policy = chain.Controller?.Policy?.PolicyHashB64U ?? "";
        // A DID that was rotated away resolves to its successor: the chain then is another one than was asked for.
        string? differs = chain.OwnerDid != owner || chain.Controller?.OwnerDid != owner || chain.AgentBinding?.OwnerDid != owner || chain.Controller.Policy?.OwnerDid != owner ? "owner_did"
            : chain.Controller.ControllerDid != controller || chain.AgentBinding.ControllerDid != controller ? "controller_did"
            : chain.AgentBinding.AgentDid != agent ? "agent_did"
            : null;
        if (differs is not null)
            return new ChainFinding(Reason.ControlChainContextMismatch, "Control chain does not match the requested owner, controller and agent", differs, policy, chain.Revision);
        return chain.Active
            ? new ChainFinding(null, Valid, null, policy, chain.Revision)
            : new ChainFinding(Reason.ClaimNotFound, "Control chain is not active", null, policy, chain.Revision);
    }

    internal static Refusal Unavailable(string what, Refusal refusal) => new(
        Reason.DependencyNotConfigured,
        $"{what}: {refusal.Sentence ?? (ReasonCatalog.TryFind(refusal.Reason, out var entry) ? entry.Sentence : refusal.Reason.ToString())}",
        inner: refusal);
}
