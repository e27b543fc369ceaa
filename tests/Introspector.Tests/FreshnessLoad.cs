using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Testing;

namespace ClawBureau.Introspector.Tests;

/// <summary>Tokens revoked one after the other while everybody asks about them, at every replica: what L3 is judged by.</summary>
internal static class FreshnessLoad
{
    private const int Revokers = 4;
    private const int AnswersBetween = 5;

    /// <param name="replicas">Asked in turn.</param>
    /// <param name="asked">Questions of each asker at least; they go on until the last token is revoked.</param>
    public static async Task<FreshnessLog> RunAsync(
        IntrospectorFixture introspector, IReadOnlyList<IntrospectionService.IntrospectionServiceClient> replicas, int tokens, int askers, int asked)
    {
        var signed = Enumerable.Range(0, tokens).Select(_ => introspector.Sign()).ToArray();
        var log = new FreshnessLog();
        using var revoked = new CancellationTokenSource();
        // As many answers between two revocations, whoever is faster here: some have to find a token active.
        using var answered = new SemaphoreSlim(0);

        int next = -1;
        var revoking = Task.WhenAll(Enumerable.Range(0, Revokers).Select(_ => Task.Run(async () =>
        {
            while (Interlocked.Increment(ref next) is var token && token < tokens)
            {
                for (int i = 0; i < AnswersBetween; i++) Assert.True(await answered.WaitAsync(TimeSpan.FromSeconds(30)));
                await introspector.RevokeAsync(signed[token]);
                log.Revoked(token);
            }
        })));
        var asking = Task.WhenAll(Enumerable.Range(0, askers).Select(asker => Task.Run(async () =>
        {
            var random = new Random(asker);
            // Around the token that is being revoked: just before, just after, long after; and on after the last one.
            for (int i = 0; i < asked || !revoked.IsCancellationRequested; i++)
            {
                int token = Math.Clamp(Volatile.Read(ref next) + random.Next(-40, 20), 0, tokens - 1);
                long started = FreshnessLog.Now();
                var answer = await replicas[(asker + i) % replicas.Count].IntrospectTokenAsync(new IntrospectTokenRequest { Token = signed[token].Compact });
                Assert.True(answer.Active || answer.Revoked);
                log.Answered(token, started, answer.Active);
                answered.Release();
            }
        })));
        try
        {
            await revoking;
        }
        finally
        {
            await revoked.CancelAsync();
            await asking;
        }
        return log;
    }
}
