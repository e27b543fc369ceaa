using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;
using Grpc.Core;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Suite.Tests;

/// <summary>One client's way to one Issuer.</summary>
internal sealed record IssuerClient(IssuanceService.IssuanceServiceClient Issuance, RevocationService.RevocationServiceClient Revocation);

/// <summary>Callers who issue, revoke and ask again under their keys, and repeat whatever was not answered.</summary>
internal sealed class Load(Acknowledged acknowledged)
{
    private readonly Dictionary<int, TaskCompletionSource> _awaited = [];       // locked by itself
    private volatile Task _serving = Task.CompletedTask;
    private int _answers;
    private int _interruptions;
    private int _unreached;

    /// <summary>Calls that ended without an answer and were repeated.</summary>
    public int Interruptions => _interruptions;

    /// <summary>Those of them that no process answered at all; the others were told that the ledger is busy or away.</summary>
    public int Unreached => _unreached;

    /// <summary>Ends when so many calls were answered; ask before the load starts.</summary>
    public Task ReachesAsync(int answers)
    {
        lock (_awaited)
        {
            if (!_awaited.TryGetValue(answers, out var reached)) _awaited.Add(answers, reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
            return reached.Task;
        }
    }

    /// <summary>Until the returned source is set, nobody repeats a call.</summary>
    public TaskCompletionSource Hold()
    {
        var serving = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _serving = serving.Task;
        return serving;
    }

    /// <summary>Issues a token, revokes it or not, and asks for it again under the same key.</summary>
    /// <param name="attempt">Whom to ask at the first, second, … attempt.</param>
    public async Task LiveAsync(string key, bool revoke, Func<int, IssuerClient> attempt)
    {
        var request = StackFixture.Request(key);
        var issued = await AnswerAsync(attempt, c => c.Issuance.IssueTokenAsync(request));
        acknowledged.Add(key, issued);
        if (revoke)
        {
            var response = await AnswerAsync(attempt, c => c.Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = issued.TokenHash } } }));
            acknowledged.Add(response.Results[0].Revocation);
        }
        acknowledged.Add(key, await AnswerAsync(attempt, c => c.Issuance.IssueTokenAsync(request)));
    }

    private async Task<T> AnswerAsync<T>(Func<int, IssuerClient> attempt, Func<IssuerClient, AsyncUnaryCall<T>> call)
    {
        for (int i = 1; ; i++)
        {
            await _serving;
            try
            {
                var answer = await call(attempt(i));
                Count();
                return answer;
            }
            catch (Refusal refusal) when (i < 100 && (ReasonCatalog.Of(refusal.Reason).GrpcCode == StatusCode.Unavailable || refusal.Reason == Reason.LedgerOutcomeUnknown))
            {
                Interlocked.Increment(ref _interruptions);
                if (refusal.Reason == Reason.PeerUnavailable) Interlocked.Increment(ref _unreached);
                await Task.Yield();
            }
        }
    }

    private void Count()
    {
        int answers = Interlocked.Increment(ref _answers);
        lock (_awaited)
        {
            if (_awaited.TryGetValue(answers, out var reached)) reached.SetResult();
        }
    }
}
