using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Issuer;

/// <summary>
/// Under which of its two names the algorithm stands in a token's header, EdDSA or Ed25519 (RFC 9864). A change of the name begins as
/// a change of keys does: it is announced, which takes the name out of the JWKS, and done when every copy that had it has expired;
/// the name comes back when no token under the other one lives any more. The signature is the same under both.
/// </summary>
public sealed class AlgorithmNames(LedgerReads ledger, IssuerOptions options)
{
    /// <summary>How far ahead of the tokens the ledger is told until when a name lives, so that it is told seldom. Seconds.</summary>
    private const long Ahead = 600;

    private sealed record State(TokenAlgorithm Signing, long AliveUntil, bool IsMixed);

    private volatile State _state = new(options.JwsAlgorithm, 0, false);

    /// <summary>What is written into headers now.</summary>
    public TokenAlgorithm Signing => _state.Signing;

    /// <summary>True while tokens under both names may be alive: a JWK must then not state one.</summary>
    public bool IsMixed => _state.IsMixed;

    /// <summary>Makes sure that the ledger knows a token of this life before it leaves. Almost always answered from memory.</summary>
    /// <exception cref="Refusal">LEDGER_UNAVAILABLE.</exception>
    public async ValueTask CoverAsync(TokenAlgorithm algorithm, long exp, CancellationToken cancellationToken)
    {
        var state = _state;
        if (state.Signing == algorithm && exp <= state.AliveUntil) return;
        try
        {
            await using var command = ledger.Source.CreateCommand("""
                INSERT INTO ledger.jws_algs AS a (alg, announced_at, alive_until) VALUES ($1, extract(epoch FROM clock_timestamp())::bigint, $2)
                ON CONFLICT (alg) DO UPDATE SET alive_until = greatest(a.alive_until, excluded.alive_until)
                """);
            command.Parameters.Add(new() { Value = algorithm.ToHeader() });
            command.Parameters.Add(new() { Value = exp + Ahead });
            await command.ExecuteNonQueryAsync(cancellationToken);
            await RefreshAsync(cancellationToken);
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException)
        {
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
    }

    /// <summary>Reads what the other replicas do, and announces what this one is configured to.</summary>
    public async Task RefreshAsync(CancellationToken cancellationToken)
    {
        var (wanted, other) = (options.JwsAlgorithm, options.JwsAlgorithm == TokenAlgorithm.EdDsa ? TokenAlgorithm.Ed25519 : TokenAlgorithm.EdDsa);
        long wait = (long)Math.Ceiling((options.JwksMaxAge + options.ActivationMargin).TotalSeconds);
        var (now, names) = await ReadAsync(cancellationToken);
        bool otherLives = names.TryGetValue(other, out var before) && before.AliveUntil >= now;
        if (!names.TryGetValue(wanted, out var mine) || (mine.AliveUntil < now && otherLives))
        {
            await AnnounceAsync(wanted, now + wait + Ahead, cancellationToken);
            (now, names) = await ReadAsync(cancellationToken);
            mine = names[wanted];
            otherLives = names.TryGetValue(other, out before) && before.AliveUntil >= now;
        }
        bool waits = otherLives && now < mine.AnnouncedAt + wait;
        _state = new State(waits ? other : wanted, waits ? before.AliveUntil : mine.AliveUntil, otherLives && mine.AliveUntil >= now);
    }

    private async Task AnnounceAsync(TokenAlgorithm algorithm, long aliveUntil, CancellationToken cancellationToken)
    {
        await using var command = ledger.Source.CreateCommand("""
            INSERT INTO ledger.jws_algs AS a (alg, announced_at, alive_until) VALUES ($1, extract(epoch FROM clock_timestamp())::bigint, $2)
            ON CONFLICT (alg) DO UPDATE SET announced_at = excluded.announced_at, alive_until = excluded.alive_until
             WHERE a.alive_until < excluded.announced_at
            """);
        command.Parameters.Add(new() { Value = algorithm.ToHeader() });
        command.Parameters.Add(new() { Value = aliveUntil });
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private async Task<(long Now, Dictionary<TokenAlgorithm, (long AnnouncedAt, long AliveUntil)> Names)> ReadAsync(CancellationToken cancellationToken)
    {
        await using var command = ledger.Source.CreateCommand(
            "SELECT n.now, a.alg, a.announced_at, a.alive_until FROM (SELECT extract(epoch FROM clock_timestamp())::bigint AS now) n LEFT JOIN ledger.jws_algs a ON true");
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        long now = 0;
        var names = new Dictionary<TokenAlgorithm, (long, long)>();
        while (await reader.ReadAsync(cancellationToken))
        {
            now = reader.GetInt64(0);
            if (!reader.IsDBNull(1) && TokenAlgorithms.TryParse(reader.GetString(1), out var algorithm)) names.Add(algorithm, (reader.GetInt64(2), reader.GetInt64(3)));
        }
        return (now, names);
    }
}
