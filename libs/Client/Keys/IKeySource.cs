using ClawBureau.Tokens;

namespace ClawBureau.Client.Keys;

/// <summary>Where public keys come from: the Issuer over gRPC, or the HTTP face.</summary>
public interface IKeySource
{
    /// <summary>Reads every key there is, as of now; no copy kept on the way counts.</summary>
    /// <exception cref="Refusal">They cannot be had, or are not what they should be.</exception>
    Task<KeyReading> ReadAsync(CancellationToken cancellationToken);
}

/// <summary>Keys as a source gave them.</summary>
/// <param name="Keys">Retired ones too where the source tells them.</param>
/// <param name="Epoch">Of <paramref name="Seq"/>; empty where the source does not tell.</param>
/// <param name="Seq">Latest change of a key in the ledger; 0 where the source does not tell.</param>
public sealed record KeyReading(VerificationKeySet Keys, string Epoch, long Seq);
