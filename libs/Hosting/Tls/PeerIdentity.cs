using System.Formats.Asn1;
using System.Security.Cryptography.X509Certificates;
using System.Text.RegularExpressions;
using ClawBureau.Hosting.Callers;

namespace ClawBureau.Hosting.Tls;

/// <summary>
/// What the client certificate of a connection says: a service (SPIFFE X.509-SVID: exactly one URI among the alternative names),
/// or why it says nothing. Kept on the connection, so that it is read once and not per call.
/// </summary>
internal sealed partial record PeerIdentity(Caller.Service? Service, string? Flaw)
{
    private const string AlternativeNamesOid = "2.5.29.17";

    /// <summary>No certificate was presented.</summary>
    public static PeerIdentity None { get; } = new(null, null);

    /// <param name="certificate">One whose chain has been validated.</param>
    /// <param name="trustDomain">The only one whose names count.</param>
    public static PeerIdentity Of(X509Certificate2? certificate, string trustDomain)
    {
        if (certificate is null) return None;
        var uris = UrisOf(certificate);
        if (uris is not [var uri]) return new(null, "The client certificate does not name exactly one SPIFFE identity");
        var prefix = $"spiffe://{trustDomain}/";
        if (!uri.StartsWith(prefix, StringComparison.Ordinal) || !NamePattern().IsMatch(uri[prefix.Length..]))
            return new(null, $"The client certificate does not name a service of the trust domain {trustDomain}");
        return new(new Caller.Service(uri, uri[prefix.Length..], certificate.NotAfter.ToUniversalTime()), null);
    }

    // RFC 5280, 4.2.1.6: GeneralNames, in which uniformResourceIdentifier is [6] IA5String.
    private static List<string> UrisOf(X509Certificate2 certificate)
    {
        var uris = new List<string>();
        if (certificate.Extensions[AlternativeNamesOid] is not { } extension) return uris;
        try
        {
            var names = new AsnReader(extension.RawData, AsnEncodingRules.DER).ReadSequence();
            var uriTag = new Asn1Tag(TagClass.ContextSpecific, 6);
            while (names.HasData)
            {
                if (names.PeekTag().HasSameClassAndValue(uriTag)) uris.Add(names.ReadCharacterString(UniversalTagNumber.IA5String, uriTag));
                else names.ReadEncodedValue();
            }
            return uris;
        }
        catch (AsnContentException)
        {
            return [];
        }
    }

    [GeneratedRegex(@"\A[a-z0-9][a-z0-9-]{0,62}\z")]
    private static partial Regex NamePattern();
}
