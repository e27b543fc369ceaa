using Microsoft.EntityFrameworkCore;

namespace ClawBureau.Ledger.Model;

/// <summary>Who owns a controller and whether it may act.</summary>
public sealed class Controller
{
    public required string ControllerDid { get; init; }
    public required string OwnerDid { get; init; }
    public required bool Active { get; init; }

    /// <summary>A transfer is pending: neither mints nor mutates (L9).</summary>
    public required bool Frozen { get; init; }
    public string? PolicyHash { get; init; }

    /// <summary>The act that wrote this state.</summary>
    public required long Seq { get; init; }
    public required DateTime ChangedAt { get; init; }
}

/// <summary>A text to be signed once.</summary>
public sealed class Challenge
{
    public required string ChallengeId { get; init; }
    public required string Purpose { get; init; }
    public required string OwnerDid { get; init; }

    /// <summary>The exact text whose signature is asked for.</summary>
    public required string Message { get; init; }
    public required DateTime CreatedAt { get; init; }
    public required DateTime ExpiresAt { get; init; }

    /// <summary>The one act that used it; null until then.</summary>
    public long? ConsumedSeq { get; init; }
}

/// <summary>Schema `control`. What a mint's condition reads is written by the ledger's append path only.</summary>
public sealed class ControlContext(DbContextOptions<ControlContext> options) : DbContext(options)
{
    public DbSet<Controller> Controllers => Set<Controller>();
    public DbSet<Challenge> Challenges => Set<Challenge>();

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.HasDefaultSchema("control");
        modelBuilder.Entity<Controller>(controller =>
        {
            controller.ToTable("controllers").HasKey(c => c.ControllerDid);
            controller.HasIndex(c => c.OwnerDid);
            controller.HasSnakeCaseColumns();
        });
        modelBuilder.Entity<Challenge>(challenge =>
        {
            challenge.ToTable("challenges").HasKey(c => c.ChallengeId);
            challenge.HasIndex(c => c.ExpiresAt);
            challenge.HasSnakeCaseColumns();
        });
    }
}
