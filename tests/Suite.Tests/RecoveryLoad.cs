using System.Collections.Concurrent;
using System.Net.Http.Json;
using System.Text.Json;
using ClawBureau.Hosting.Peers;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using Grpc.Core;

namespace ClawBureau.Suite.Tests;

/// <summary>
/// Callers who go on until they are told to stop: each issues a token, sees it active, revokes it, and from then on must see it
/// revoked, over gRPC and over HTTP, whichever replica answers. What is not answered is asked again.
/// </summary>
internal sealed class RecoveryLoad(PeerChannel issuers, PeerChannel introspectors, HttpClient edge, Acknowledged acknowledged)
{
    private readonly IssuanceService.IssuanceServiceClient _issuance = new(issuers.Calls);
    private readonly RevocationService.RevocationServiceClient _revocation = new(issuers.Calls);
    private readonly IntrospectionService.IntrospectionServiceClient _introspection = new(introspectors.Calls);
    private readonly ConcurrentQueue<string> _wrong = new();
    private int _rounds;
    private int _interruptions;

    public int Rounds => _rounds;

    /// <summary>Attempts that were not answered.</summary>
    public int Interruptions => _interruptions;

    /// <summary>Answers that must not be, as sentences.</summary>
    public IReadOnlyCollection<string> Wrong => _wrong;

    public async Task RunAsync(string name, CancellationToken stop)
    {
        for (int round = 0; !stop.IsCancellationRequested; round++)
        {
            var key = $"{name}-{round}";
            var issued = await AnsweredAsync(() => _issuance.IssueTokenAsync(StackFixture.Request(key)));
            acknowledged.Add(key, issued);
            await SeeAsync(issued, revoked: false);
            var revoked = await AnsweredAsync(() => _revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = issued.TokenHash } } }));
            acknowledged.Add(revoked.Results[0].Revocation);
            await SeeAsync(issued, revoked: true);
            acknowledged.Add(key, await AnsweredAsync(() => _issuance.IssueTokenAsync(StackFixture.Request(key))));
            Interlocked.Increment(ref _rounds);
        }
    }

    private Task<T> AnsweredAsync<T>(Func<AsyncUnaryCall<T>> call) => Answered.ByAsync(call, () => Interlocked.Increment(ref _interruptions));

    private async Task SeeAsync(IssueTokenResponse issued, bool revoked)
    {
        var answer = await AnsweredAsync(() => _introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = issued.Token }));
        if (answer.Revoked != revoked || answer.Active == revoked) _wrong.Enqueue($"gRPC: seq {issued.Seq} active {answer.Active}, revoked {answer.Revoked}, wanted revoked {revoked}");
        var told = await AskEdgeAsync(issued.Token);
        if (told.GetProperty("active").GetBoolean() == revoked) _wrong.Enqueue($"HTTP: seq {issued.Seq}: {told}, wanted revoked {revoked}");
    }

    private async Task<JsonElement> AskEdgeAsync(string token)
    {
        while (true)
        {
            try
            {
                using var answer = await edge.PostAsJsonAsync("/v1/tokens/introspect", new { token });
                if (answer.IsSuccessStatusCode) return await answer.Content.ReadFromJsonAsync<JsonElement>();
                if ((int)answer.StatusCode < 500) throw new InvalidOperationException($"introspection over HTTP answers {answer.StatusCode}: {await answer.Content.ReadAsStringAsync()}");
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
            {
                // It is down.
            }
            Interlocked.Increment(ref _interruptions);
            await Task.Delay(10);
        }
    }
}
