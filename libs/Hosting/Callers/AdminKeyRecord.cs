using System.Collections.Immutable;

namespace ClawBureau.Hosting.Callers;

/// <summary>One admin key as it is kept: its name, the SHA-256 of its UTF-8 text, and the scopes it opens.</summary>
internal sealed record AdminKeyRecord
{
    public AdminKeyRecord(string name, ImmutableArray<byte> hash, IReadOnlyCollection<string> scopes)
    {
        (Name, Hash) = (name, hash);
        Caller = new Caller.AdminKey(name, scopes) { KeyHash = hash };
    }

    public string Name { get; }

    /// <summary>32 bytes.</summary>
    public ImmutableArray<byte> Hash { get; }

    public Caller.AdminKey Caller { get; }
}
