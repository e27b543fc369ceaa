using System.Buffers;

namespace ClawBureau.Tokens;

/// <summary>
/// A decentralised identifier, checked for form only; nothing here resolves or decodes it. The wide grammar is
/// <c>did:[a-z0-9]+:[A-Za-z0-9._:%-]+</c>: the contract's own forbids colons in the last part and so refuses
/// <c>did:web:host:path</c> and <c>did:pkh:eip155:1:…</c>; section 9 item 27 asks to accept them. Case is never folded: two
/// spellings would be two groups for revocation. The default value is empty text.
/// </summary>
public readonly struct Did : IEquatable<Did>
{
    /// <summary>Longest accepted, in characters; the long methods (did:jwk, did:peer) stay below it.</summary>
    public const int MaxLength = 512;

    private const string Prefix = "did:";
    private static readonly SearchValues<char> MethodCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789");
    private static readonly SearchValues<char> WideCharacters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:%-");

    private readonly string? _text;

    private Did(string text) => _text = text;

    /// <summary>The contract's own, narrower grammar holds too: no colon in the method-specific id (contract 1.1).</summary>
    public bool IsNarrow => _text is not null && _text.AsSpan(Prefix.Length).Count(':') == 1;

    /// <summary>The wide grammar; nothing is trimmed.</summary>
    public static bool TryParse(string? text, out Did did)
    {
        did = default;
        if (text is null || text.Length > MaxLength || !text.StartsWith(Prefix, StringComparison.Ordinal)) return false;
        var rest = text.AsSpan(Prefix.Length);
        var colon = rest.IndexOf(':');
        if (colon <= 0 || rest[..colon].ContainsAnyExcept(MethodCharacters)) return false;
        var id = rest[(colon + 1)..];
        if (id.IsEmpty || id.ContainsAnyExcept(WideCharacters)) return false;
        did = new Did(text);
        return true;
    }

    /// <exception cref="FormatException">Not of the wide grammar.</exception>
    public static Did Parse(string text) => TryParse(text, out var did) ? did : throw new FormatException("not a DID");

    public bool Equals(Did other) => string.Equals(ToString(), other.ToString(), StringComparison.Ordinal);

    public override bool Equals(object? obj) => obj is Did other && Equals(other);

    public override int GetHashCode() => ToString().GetHashCode(StringComparison.Ordinal);

    public override string ToString() => _text ?? "";

    public static bool operator ==(Did left, Did right) => left.Equals(right);

    public static bool operator !=(Did left, Did right) => !left.Equals(right);
}
