using Npgsql;

namespace ClawBureau.Ledger;

/// <summary>Connections to the ledger, as each kind of user needs them.</summary>
public static class LedgerDatabase
{
    /// <summary>For the append path: one connection, a write buffer that takes a whole batch, statements prepared.</summary>
    public static NpgsqlDataSource ForWriting(string connectionString) => Create(connectionString, "claw-writer", b =>
    {
        b.MaxPoolSize = 4;
        b.WriteBufferSize = 1 << 20;
        b.MaxAutoPrepare = 16;
        b.AutoPrepareMinUsages = 2;
    });

    /// <summary>For reads: snapshots, polls, EF Core.</summary>
    public static NpgsqlDataSource ForReading(string connectionString) => Create(connectionString, "claw-reader", b =>
    {
        b.MaxPoolSize = 16;
        b.NoResetOnClose = true;        // nothing is set on these sessions, and a reset would go before every poll
        b.MaxAutoPrepare = 16;
        b.AutoPrepareMinUsages = 2;
    });

    private static NpgsqlDataSource Create(string connectionString, string name, Action<NpgsqlConnectionStringBuilder> tune)
    {
        var builder = new NpgsqlConnectionStringBuilder(connectionString)
        {
            ApplicationName = name,
            Timeout = 2,
            CommandTimeout = 5,
            KeepAlive = 5,
            CancellationTimeout = -1,           // a call given up drops its connection at once
            IncludeErrorDetail = false,         // details quote rows; rows quote people
        };
        tune(builder);
        return new NpgsqlDataSourceBuilder(builder.ConnectionString).Build();
    }
}
