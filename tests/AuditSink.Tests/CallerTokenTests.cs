using ClawBureau.Protos.Audit.V1;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.AuditSink.Tests;

/// <summary>Owners read the audit log with their tokens, which the Introspector judges; what it says, a test says.</summary>
public sealed class CallerTokenTests
{
    private static readonly Guid Epoch = Guid.NewGuid();

    [Fact]
    public async Task An_owner_reads_what_concerns_it_and_nothing_else()
    {
        await using var introspector = await Introspector.StartAsync();
        await using var audit = await StartAsync(introspector);
        var events = Enumerable.Range(1, 6).Select(i => AuditFixture.Event(i)).ToList();
        for (int i = 0; i < events.Count; i++) events[i].Keys.OwnerDid = i % 3 == 0 ? "did:key:zOwner" : i % 3 == 1 ? "did:key:zOther" : "";
        await audit.Issuer.AppendEventsAsync(new AppendEventsRequest { Source = "ledger", Epoch = Epoch.ToString(), Events = { events } });

        var token = Token("control:audit:read");
        var listed = await ListAsync(audit, token);
        Assert.Equal([4L, 1L], listed.Entries.Select(e => e.Seq));
        Assert.All(listed.Entries, e => Assert.NotEmpty(e.Payload));
        Assert.Equal(listed, await ListAsync(audit, token, "did:key:zOwner"));
        Assert.Equal(Reason.OwnerScopeForbidden, (await Assert.ThrowsAsync<Refusal>(() => ListAsync(audit, token, "did:key:zOther"))).Reason);
        Assert.Equal(6, (await audit.Auditor.ListEventsAsync(new ListEventsRequest())).Entries.Count);
        Assert.All(introspector.Asked, request => Assert.True(request.Consistency is null, "the default, linearizable"));
    }

    [Fact]
    public async Task What_the_introspector_says_of_a_token_decides()
    {
        await using var introspector = await Introspector.StartAsync();
        await using var audit = await StartAsync(introspector);
        audit.Process.ExpectsErrors = true;         // the last one is none that a sound Introspector gives
        var token = Token("control:audit:read");
        foreach (var (says, reason) in ((Action<IntrospectTokenResponse>, Reason)[])
        [
            (a => (a.Active, a.Revoked) = (false, true), Reason.TokenRevoked),
            (a => a.Foreign = true, Reason.TokenForeign),
            (a => (a.Active, a.InactiveReason, a.InactiveSentence) = (false, Protos.Types.V1.Reason.TokenExpired, "Token has expired"), Reason.TokenExpired),
            (a => a.TokenHash = TokenHash.Of("another").ToString(), Reason.Internal),
        ])
        {
            introspector.Says = says;
            Assert.Equal(reason, (await Assert.ThrowsAsync<Refusal>(() => ListAsync(audit, token))).Reason);
        }
        introspector.Says = _ => { };
        Assert.Equal(Reason.TokenInsufficientScope, (await Assert.ThrowsAsync<Refusal>(() => ListAsync(audit, Token("control:token:revoke")))).Reason);
        Assert.Equal(Reason.TokenMalformed, (await Assert.ThrowsAsync<Refusal>(() => ListAsync(audit, "no.token"))).Reason);
    }

    [Fact]
    public async Task Without_an_introspector_no_token_opens_the_log()
    {
        await using var audit = await AuditFixture.StartAsync();
        Assert.Equal(Reason.DependencyNotConfigured, (await Assert.ThrowsAsync<Refusal>(() => ListAsync(audit, Token("control:*")))).Reason);
        await using var gone = await AuditFixture.StartAsync(settings: new Dictionary<string, string?> { ["CLAW_INTROSPECTOR"] = "https://127.0.0.1:1" });
        Assert.Equal(Reason.PeerUnavailable, (await Assert.ThrowsAsync<Refusal>(() => ListAsync(gone, Token("control:*")))).Reason);
    }

    private static Task<AuditFixture> StartAsync(Introspector introspector) =>
        AuditFixture.StartAsync(settings: new Dictionary<string, string?> { ["CLAW_INTROSPECTOR"] = introspector.Address.ToString() });

    private static async Task<ListEventsResponse> ListAsync(AuditFixture audit, string token, string owner = "") =>
        await new AuditService.AuditServiceClient(audit.Process.Channel(adminKey: null).Calls).ListEventsAsync(
            new ListEventsRequest { Filter = new EventFilter { OwnerDid = owner } }, new Metadata { { "x-cst", token } });

    private static string Token(string scope)
    {
        using var key = new SigningKey([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 11))]);
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        return TokenSigner.Sign(new TokenClaims
        {
            Sub = "did:key:zAgent",
            Audience = Audience.Of("a"),
            Scope = [scope],
            IssuedAt = now,
            ExpiresAt = now + 600,
            OwnerDid = Did.Parse("did:key:zOwner"),
            ControllerDid = Did.Parse("did:key:zController"),
            AgentDid = Did.Parse("did:key:zAgent"),
            Lane = TokenLane.Canonical,
        }, key).Compact;
    }

    /// <summary>Says of every token that it is active, unless told otherwise.</summary>
    private sealed class Introspector : IntrospectionService.IntrospectionServiceBase, IAsyncDisposable
    {
        private TestProcess _process = null!;

        public Uri Address => _process.Address;
        public Action<IntrospectTokenResponse> Says { get; set; } = _ => { };
        public List<IntrospectTokenRequest> Asked { get; } = [];

        public static async Task<Introspector> StartAsync()
        {
            var introspector = new Introspector();
            introspector._process = await TestProcess.StartAsync("introspector", s => s.AddSingleton(introspector), a => a.MapGrpcService<Introspector>(), new Dictionary<string, string?>());
            return introspector;
        }

        public override Task<IntrospectTokenResponse> IntrospectToken(IntrospectTokenRequest request, ServerCallContext context)
        {
            Asked.Add(request);
            var answer = new IntrospectTokenResponse { Active = true, TokenHash = TokenHash.Of(request.Token).ToString(), Kid = "fe2b99fd9afaa999" };
            Says(answer);
            return Task.FromResult(answer);
        }

        public ValueTask DisposeAsync() => _process.DisposeAsync();
    }
}
