using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Edge.Tests;

/// <summary>The failure rows of clawscope-http.md 3 and 4.3: what the Issuer cannot say about its keys is 503 with its own code.</summary>
[Collection(EdgeSuite.Name)]
public sealed class KeyRefusalTests(EdgeFixture edge)
{
    [Theory]
    [InlineData(Reason.SigningNotConfigured, "SIGNING_NOT_CONFIGURED", "SCOPE_SIGNING_KEY is not configured")]
    [InlineData(Reason.SigningConfigInvalid, "SIGNING_CONFIG_INVALID", "Signing key configuration is invalid")]
    public async Task Keys_that_are_not_configured_are_503_on_every_route_of_keys(Reason reason, string code, string message)
    {
        await using var keys = await FakePeer.StartAsync(new RefusingKeys(reason), edge.Certificates, "issuer");
        await using var face = await StartEdgeAsync(keys);
        foreach (var path in (string[])["/v1/jwks", "/v1/did", "/v1/keys/rotation-contract", "/v1/keys/transparency/latest"])
        {
            var answer = await face.GetAsync(path);
            answer.IsRefused(503, code);
            Assert.Equal(message, answer.Json.GetProperty("message").GetString());
        }
        (await face.PostAsAdminAsync("/v1/keys/transparency/snapshot", "{}")).IsRefused(503, code);
    }

    [Fact]
    public async Task A_history_that_cannot_be_read_or_added_to_is_503()
    {
        await using var keys = await FakePeer.StartAsync(new RefusingKeys(Reason.KeyTransparencyUnavailable), edge.Certificates, "issuer");
        await using var face = await StartEdgeAsync(keys);
        (await face.GetAsync("/v1/keys/transparency/latest")).IsRefused(503, "KEY_TRANSPARENCY_UNAVAILABLE");
        (await face.GetAsync("/v1/keys/transparency/history", ("Authorization", EdgeFixture.AdminKey))).IsRefused(503, "KEY_TRANSPARENCY_UNAVAILABLE");
        (await face.PostAsAdminAsync("/v1/keys/transparency/snapshot", "{}")).IsRefused(503, "KEY_TRANSPARENCY_UNAVAILABLE");
    }

    private Task<HttpFaceClient> StartEdgeAsync(FakePeer issuer) =>
        edge.StartEdgeAsync(new() { ["CLAW_ISSUER"] = $"{issuer.Address}", ["SCOPE_PROTECTED_AUTH_MODE"] = "admin_token" });

    /// <summary>A key service that refuses everything for one reason.</summary>
    private sealed class RefusingKeys(Reason reason) : KeyService.KeyServiceBase
    {
        public override Task<GetKeySetResponse> GetKeySet(GetKeySetRequest request, ServerCallContext context) => throw Refused();

        public override Task<GetTransparencySnapshotResponse> GetTransparencySnapshot(GetTransparencySnapshotRequest request, ServerCallContext context) => throw Refused();

        public override Task<CreateTransparencySnapshotResponse> CreateTransparencySnapshot(CreateTransparencySnapshotRequest request, ServerCallContext context) => throw Refused();

        public override Task<ListTransparencySnapshotsResponse> ListTransparencySnapshots(ListTransparencySnapshotsRequest request, ServerCallContext context) => throw Refused();

        private RpcException Refused() => RefusalStatus.ToRpcException(new Refusal(reason));
    }
}
