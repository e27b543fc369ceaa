using Microsoft.EntityFrameworkCore;

namespace ClawBureau.Ledger.Model;

/// <summary>A policy document as the ledger recorded it.</summary>
public sealed class PolicyVersion
{
    public required string Version { get; init; }
    public required long Seq { get; init; }

    /// <summary>Canonical JSON.</summary>
    public required byte[] Document { get; init; }

    /// <summary>SHA-256 of the document, 32 bytes.</summary>
    public required byte[] PolicyHash { get; init; }
    public required string PutBy { get; init; }
    public required DateTime PutAt { get; init; }
    public string? Reason { get; init; }
}

/// <summary>Schema `policy`, for reading: rows are written by the ledger's append path.</summary>
public sealed class PolicyContext(DbContextOptions<PolicyContext> options) : DbContext(options)
{
    public DbSet<PolicyVersion> Versions => Set<PolicyVersion>();

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.HasDefaultSchema("policy");
        modelBuilder.Entity<PolicyVersion>(version =>
        {
            version.ToTable("versions").HasKey(v => v.Version);
            version.HasIndex(v => v.Seq).IsUnique();
            version.HasSnakeCaseColumns();
        });
    }
}
