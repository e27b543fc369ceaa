using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Issuer.Tests;

public sealed class RevokeTests
{
    [Fact]
    public async Task Tokens_are_revoked_by_text_hash_and_jti_and_the_first_answer_stands()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        var tokens = new List<Protos.Issuance.V1.IssueTokenResponse>();
        for (int i = 0; i < 3; i++) tokens.Add(await issuer.Issuance.IssueTokenAsync(IssuerFixture.Request()));
        var request = new RevokeTokensRequest
        {
            Targets =
            {
                new RevocationTarget { Token = tokens[0].Token },
                new RevocationTarget { TokenHash = " " + tokens[1].TokenHash.ToUpperInvariant() },
                new RevocationTarget { Jti = tokens[2].Claims.Jti },
            },
            Reason = "laptop stolen",
        };

        var first = await issuer.Revocation.RevokeTokensAsync(request);
        Assert.All(first.Results, r => Assert.Equal(RevocationStatus.Revoked, r.Revocation.Status));
        Assert.Equal(tokens.Select(t => t.TokenHash), first.Results.Select(r => r.Revocation.TokenHash));
        Assert.Equal([1L, 2L, 3L], first.Results.Select(r => r.Revocation.RevocationSeq).Order());
        Assert.Equal((first.Results.Max(r => r.Revocation.Seq), 3L), (first.Revision.Seq, first.Revision.RevocationSeq));

        var again = await issuer.Revocation.RevokeTokensAsync(request);
        Assert.All(again.Results, r => Assert.Equal(RevocationStatus.AlreadyRevoked, r.Revocation.Status));
        Assert.Equal(first.Results.Select(r => (r.Revocation.Seq, r.Revocation.RevokedAt)), again.Results.Select(r => (r.Revocation.Seq, r.Revocation.RevokedAt)));
    }

    [Fact]
    public async Task One_bad_target_fails_no_other()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        var response = await issuer.Revocation.RevokeTokensAsync(new RevokeTokensRequest
        {
            Targets =
            {
                new RevocationTarget { TokenHash = "not hex" },
                new RevocationTarget { Token = "any text may be revoked" },
                new RevocationTarget { Jti = "a\0b" },
                new RevocationTarget(),
            },
        });
        Assert.Equal([Protos.Types.V1.Reason.InvalidTokenHash, null, Protos.Types.V1.Reason.TextNotStorable, Protos.Types.V1.Reason.InvalidRequest],
            response.Results.Select(r => r.Error?.Reason));
        Assert.Equal(TokenHash.Of("any text may be revoked").ToString(), response.Results[1].Revocation.TokenHash);
    }

    [Theory]
    [InlineData(0, Reason.InvalidRequest)]
    [InlineData(1001, Reason.BatchTooLarge)]
    public async Task A_batch_has_between_one_and_a_thousand_targets(int count, Reason reason)
    {
        await using var issuer = await IssuerFixture.StartAsync();
        var request = new RevokeTokensRequest { Targets = { Enumerable.Range(0, count).Select(i => new RevocationTarget { Token = $"t{i}" }) } };
        var refusal = await Assert.ThrowsAsync<Refusal>(async () => await issuer.Revocation.RevokeTokensAsync(request));
        Assert.Equal(reason, refusal.Reason);
    }

    [Fact]
    public async Task A_thousand_tokens_are_revoked_in_one_call()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        var response = await issuer.Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { Enumerable.Range(0, 1000).Select(i => new RevocationTarget { Token = $"t{i}" }) } });
        Assert.Equal(1000, response.Results.Select(r => r.Revocation.RevocationSeq).Distinct().Count());
        Assert.Equal(1000, await issuer.ScalarAsync<long>("SELECT revocation_seq FROM ledger.head"));
    }

    [Fact]
    public async Task The_reason_is_kept_cut_to_256_characters()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        await issuer.Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { Token = "t" } }, Reason = " " + new string('x', 255) + "😀" });
        Assert.Equal(new string('x', 255), await issuer.ScalarAsync<string>("SELECT reason FROM ledger.revocations"));
    }
}
