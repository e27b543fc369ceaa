using Microsoft.EntityFrameworkCore;

namespace ClawBureau.Ledger.Model;

/// <summary>Proof that somebody holds a DID's key. Revoked once, it stays so.</summary>
public sealed record Binding
{
    public required string Did { get; init; }
    public required bool Active { get; init; }
    public required DateTime BoundAt { get; init; }
    public required string ChallengeId { get; init; }
    public DateTime? RevokedAt { get; init; }
    public string? RevokedReason { get; init; }

    /// <summary>The act that wrote this state. 0 in a row to be written: the act that writes it.</summary>
    public long Seq { get; init; }

    /// <summary>The last act that concerned this DID; set by the ledger.</summary>
    public long Version { get; init; }
}

/// <summary>Who owns a controller, what it may be granted, and whether it may act.</summary>
public sealed record Controller
{
    public required string ControllerDid { get; init; }
    public required string OwnerDid { get; init; }

    /// <summary>False: rotated away, or displaced by a registration that the DID's holder signed.</summary>
    public required bool Active { get; init; }

    /// <summary>A transfer is pending: neither mints nor mutates (L9), until <see cref="TransferExpiresAt"/>.</summary>
    public required bool Frozen { get; init; }
    public required string PolicyHash { get; init; }

    /// <inheritdoc cref="Binding.Seq"/>
    public long Seq { get; init; }
    public required DateTime ChangedAt { get; init; }
    public required DateTime RegisteredAt { get; init; }
    public required string LastChallengeId { get; init; }

    /// <summary>As hashed: the default list in the contract's own order, any other sorted.</summary>
    public required string[] AllowedSensitiveScopes { get; init; }
    public required DateTime PolicyUpdatedAt { get; init; }
    public string? TransferToOwnerDid { get; init; }
    public DateTime? TransferRequestedAt { get; init; }
    public DateTime? TransferExpiresAt { get; init; }
    public DateTime? TransferredAt { get; init; }
    public string? TransferredFromOwnerDid { get; init; }
    public string? RotatedFromDid { get; init; }
    public DateTime? RotationConfirmedAt { get; init; }
    public required bool Consented { get; init; }

    /// <summary>The last act on this controller, its agents, aliases or policy; set by the ledger.</summary>
    public long Version { get; init; }
}

/// <summary>An agent under a controller.</summary>
public sealed record Agent
{
    public required string ControllerDid { get; init; }
    public required string AgentDid { get; init; }
    public required string OwnerDid { get; init; }
    public required bool Active { get; init; }
    public required DateTime RegisteredAt { get; init; }
    public required string LastChallengeId { get; init; }
    public required string PolicyHash { get; init; }
    public string? RotatedFromDid { get; init; }
    public DateTime? RotationConfirmedAt { get; init; }
    public required bool Consented { get; init; }

    /// <inheritdoc cref="Binding.Seq"/>
    public long Seq { get; init; }
}

/// <summary>Whose DIDs an alias joins. Stored as smallint.</summary>
public enum AliasRole : short
{
    Controller = 1,
    Agent = 2,
}

/// <summary>A former DID and what it became.</summary>
public sealed record Alias
{
    public required AliasRole Role { get; init; }

    /// <summary>Agents: the controller within which it holds. Controllers: empty.</summary>
    public required string ControllerDid { get; init; }
    public required string FromDid { get; init; }
    public required string ToDid { get; init; }
    public required string OwnerDid { get; init; }
    public required bool Active { get; init; }
    public required DateTime ConfirmedAt { get; init; }

    /// <inheritdoc cref="Binding.Seq"/>
    public long Seq { get; init; }

    /// <inheritdoc cref="Binding.Version"/>
    public long Version { get; init; }
}

/// <summary>A bundle that was imported: it is answered as such until it expires.</summary>
public sealed record Import
{
    public required string BundleHash { get; init; }
    public required string ControllerDid { get; init; }
    public required string OwnerDid { get; init; }
    public required DateTime ImportedAt { get; init; }
    public required DateTime ExpiresAt { get; init; }

    /// <inheritdoc cref="Binding.Seq"/>
    public long Seq { get; init; }

    /// <inheritdoc cref="Binding.Version"/>
    public long Version { get; init; }
}

/// <summary>A text to be signed once, and what it was made for.</summary>
public sealed record Challenge
{
    public required string ChallengeId { get; init; }
    public required string Purpose { get; init; }

    /// <summary>Whose signature is asked for.</summary>
    public required string OwnerDid { get; init; }

    /// <summary>The exact text whose signature is asked for.</summary>
    public required string Message { get; init; }
    public required DateTime CreatedAt { get; init; }
    public required DateTime ExpiresAt { get; init; }

    /// <summary>The one act that used it; null until then.</summary>
    public long? ConsumedSeq { get; init; }
    public string? ControllerDid { get; init; }
    public string? AgentDid { get; init; }
    public AliasRole? RotationRole { get; init; }
    public string? FromDid { get; init; }
    public string? ToDid { get; init; }
    public string? TransferToOwnerDid { get; init; }
    public string? BundleHash { get; init; }

    /// <summary>The sensitive policy that the signature covers; null where it covers none.</summary>
    public string? PolicyHash { get; init; }
}

/// <summary>Schema `control`, for reading. What a mint's condition reads is written by the ledger's append path only.</summary>
public sealed class ControlContext(DbContextOptions<ControlContext> options) : DbContext(options)
{
    public DbSet<Binding> Bindings => Set<Binding>();
    public DbSet<Controller> Controllers => Set<Controller>();
    public DbSet<Agent> Agents => Set<Agent>();
    public DbSet<Alias> Aliases => Set<Alias>();
    public DbSet<Import> Imports => Set<Import>();
    public DbSet<Challenge> Challenges => Set<Challenge>();

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.HasDefaultSchema("control");
        modelBuilder.Entity<Binding>(binding =>
        {
            binding.ToTable("bindings").HasKey(b => b.Did);
            binding.HasSnakeCaseColumns();
        });
        modelBuilder.Entity<Controller>(controller =>
        {
            controller.ToTable("controllers").HasKey(c => c.ControllerDid);
            controller.HasIndex(c => c.OwnerDid);
            controller.HasSnakeCaseColumns();
        });
        modelBuilder.Entity<Agent>(agent =>
        {
            agent.ToTable("agents").HasKey(a => new { a.ControllerDid, a.AgentDid });
            agent.HasIndex(a => a.AgentDid);
            agent.HasSnakeCaseColumns();
        });
        modelBuilder.Entity<Alias>(alias =>
        {
            alias.ToTable("aliases").HasKey(a => new { a.Role, a.ControllerDid, a.FromDid });
            alias.HasIndex(a => new { a.Role, a.ControllerDid, a.ToDid });
            alias.HasSnakeCaseColumns();
        });
        modelBuilder.Entity<Import>(import =>
        {
            import.ToTable("imports").HasKey(i => i.BundleHash);
            import.HasSnakeCaseColumns();
        });
        modelBuilder.Entity<Challenge>(challenge =>
        {
            challenge.ToTable("challenges").HasKey(c => c.ChallengeId);
            challenge.HasIndex(c => c.ExpiresAt);
            challenge.HasIndex(c => c.OwnerDid);
            challenge.HasSnakeCaseColumns();
        });
    }
}
