using Testcontainers.PostgreSql;

namespace ClawBureau.Testing.Containers;

/// <summary>A PostgreSQL for tests from Testcontainers, for those who have Docker and a full package registry.</summary>
public static class ContainerPostgres
{
    /// <summary>Starts a container that lives as long as the test process.</summary>
    /// <returns>An administrator's connection string.</returns>
    public static async Task<string> StartAsync()
    {
        var container = new PostgreSqlBuilder().WithImage("postgres:17").Build();
        await container.StartAsync();
        return container.GetConnectionString();
    }
}
