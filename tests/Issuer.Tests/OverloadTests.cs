using ClawBureau.Ledger;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;
using Google.Rpc;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Issuer.Tests;

/// <summary>Overload sheds issuance, never revocation (DESIGN "The ledger", rule 4).</summary>
public sealed class OverloadTests
{
    [Fact]
    public async Task Under_full_overload_issuance_is_told_when_to_try_again_and_every_revocation_gets_through()
    {
        await using var issuer = await IssuerFixture.StartAsync(add: services => services.AddSingleton(s => new LedgerWriter(
            LedgerDatabase.ForWriting(s.GetRequiredService<IssuerOptions>().Database), new LedgerOptions { MintQueue = 4, BatchSize = 4 }, s.GetRequiredService<ILogger<LedgerWriter>>())));
        var (issuance, revocation) = (issuer.Issuance, issuer.Revocation);
        using var enough = new CancellationTokenSource();
        int issued = 0, shed = 0;
        var storm = Enumerable.Range(0, 32).Select(_ => Task.Run(async () =>
        {
            while (!enough.IsCancellationRequested)
            {
                try
                {
                    await issuance.IssueTokenAsync(IssuerFixture.Request());
                    Interlocked.Increment(ref issued);
                }
                catch (Refusal refusal)
                {
                    Assert.Equal(Reason.LedgerOverloaded, refusal.Reason);
                    var rpc = Assert.IsType<RpcException>(refusal.InnerException);
                    Assert.Equal(StatusCode.ResourceExhausted, rpc.StatusCode);
                    var details = Google.Rpc.Status.Parser.ParseFrom(rpc.Trailers.GetValueBytes("grpc-status-details-bin")).Details;
                    Assert.Contains(details, d => d.TryUnpack<RetryInfo>(out var retry) && retry.RetryDelay.ToTimeSpan() > TimeSpan.Zero);
                    Interlocked.Increment(ref shed);
                }
            }
        })).ToArray();

        // One after the other and many at once, each at its first attempt, while mints are shed before and after it.
        int revoked = 0;
        for (int round = 0; round < 20; round++)
        {
            int before = Volatile.Read(ref shed);
            await Testing.Eventually.HoldsAsync("issuance is overloaded", () => Volatile.Read(ref shed) > before);
            var request = new RevokeTokensRequest { Targets = { Enumerable.Range(0, 50).Select(i => new RevocationTarget { TokenHash = TokenHash.Of($"{round} {i}").ToString() }) } };
            var answer = await revocation.RevokeTokensAsync(request);
            Assert.All(answer.Results, result => Assert.Equal(RevocationStatus.Revoked, result.Revocation?.Status));
            revoked += answer.Results.Count;
        }
        await enough.CancelAsync();
        await Task.WhenAll(storm);

        Assert.Equal((1000, 1000L), (revoked, await issuer.ScalarAsync<long>("SELECT revocation_seq FROM ledger.head")));
        Assert.True(issued > 0 && shed > 20, $"{issued} issued, {shed} shed");
    }
}
