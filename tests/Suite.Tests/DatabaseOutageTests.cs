using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Stack;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Suite.Tests;

public sealed class DatabaseOutageTests(StackFixture fixture) : IClassFixture<StackFixture>
{
    [Fact]
    public async Task While_postgres_is_stopped_calls_are_unavailable_and_they_serve_again_without_a_restart()
    {
        var postgres = Assert.IsType<LocalPostgres>(fixture.Stack.Postgres);
        var (issuance, revocation, introspection) = (fixture.Issuance, fixture.Revocation, fixture.Introspection);
        var before = await issuance.IssueTokenAsync(StackFixture.Request("before"));
        var revoked = await issuance.IssueTokenAsync(StackFixture.Request("revoked"));
        await revocation.RevokeTokensAsync(Revoke(revoked.TokenHash));
        var processes = fixture.Stack.Services.Select(s => s.Process.Id).ToList();

        await postgres.StopAsync();
        await IsUnavailableAsync(async () => await issuance.IssueTokenAsync(StackFixture.Request("during")));
        await IsUnavailableAsync(async () => await revocation.RevokeTokensAsync(Revoke(before.TokenHash)));
        await IsUnavailableAsync(async () => await introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = before.Token }));

        await postgres.StartAgainAsync(CancellationToken.None);
        await Eventually.HoldsAsync("the services serve again", async () =>
        {
            try
            {
                await issuance.IssueTokenAsync(StackFixture.Request("after"));
                await introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = before.Token });
                return true;
            }
            catch (Refusal refusal) when (ReasonCatalog.Of(refusal.Reason).GrpcCode == StatusCode.Unavailable)
            {
                return false;
            }
        });

        // What was acknowledged before holds, and what was refused meanwhile was not done.
        Assert.Equal(before.Token, (await issuance.IssueTokenAsync(StackFixture.Request("before"))).Token);
        Assert.True((await introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = revoked.Token })).Revoked);
        Assert.True((await introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = before.Token })).Active);
        Assert.Equal(RevocationStatus.Revoked, (await revocation.RevokeTokensAsync(Revoke(before.TokenHash))).Results[0].Revocation.Status);
        Assert.True((await introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = before.Token })).Revoked);
        Assert.Equal(processes, fixture.Stack.Services.Select(s => s.Process.Id));
        Assert.All(fixture.Stack.Services, s => Assert.False(s.Process.HasExited));
    }

    private static RevokeTokensRequest Revoke(string hash) => new() { Targets = { new RevocationTarget { TokenHash = hash } } };

    private static async Task IsUnavailableAsync(Func<Task> call)
    {
        var refusal = await Assert.ThrowsAsync<Refusal>(call);
        Assert.Equal(StatusCode.Unavailable, ReasonCatalog.Of(refusal.Reason).GrpcCode);
    }
}
