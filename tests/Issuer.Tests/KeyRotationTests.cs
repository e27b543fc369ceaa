using System.Security.Cryptography;
using System.Text;
using ClawBureau.Hosting.Health;
using ClawBureau.Hosting.Keys;
using ClawBureau.Hosting.Peers;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Reason = ClawBureau.Tokens.Reason;
using WireState = ClawBureau.Protos.Keys.V1.KeyState;

namespace ClawBureau.Issuer.Tests;

/// <summary>Keys of a folder, over the wire, on one Issuer or two.</summary>
public sealed class KeyRotationTests : IAsyncLifetime
{
    private readonly string _root = Directory.CreateTempSubdirectory("claw-rotation-").FullName;
    private readonly List<TestProcess> _issuers = [];
    private TestDatabase _database = null!;
    private KeyFolder _folder = null!;

    public async Task InitializeAsync()
    {
        _database = await TestDatabases.CreateAsync();
        _folder = new KeyFolder(Path.Combine(_root, "keys"));
        _folder.Generate();
    }

    public async Task DisposeAsync()
    {
        foreach (var issuer in _issuers) await issuer.DisposeAsync();
        await _database.DisposeAsync();
        Directory.Delete(_root, recursive: true);
    }

    [Fact]
    public async Task A_rotation_publishes_the_next_key_first_and_activates_it_by_itself()
    {
        var issuer = await StartAsync();
        var (keys, issuance) = (Keys(issuer), Issuance(issuer));
        var first = (await keys.GetKeySetAsync(new())).KeySet.ActiveKid;
        var old = await issuance.IssueTokenAsync(IssuerFixture.Request());

        var begun = await keys.RotateKeyAsync(new RotateKeyRequest { Reason = "monthly", ExpectedActiveKid = first });
        Assert.Equal((first, true), (begun.KeySet.ActiveKid, begun.ActivatesAt.ToDateTimeOffset() > DateTimeOffset.UtcNow.AddSeconds(-1)));
        var next = begun.KeySet.Keys.Single(key => key.Kid == begun.Kid);
        Assert.Equal((WireState.Next, true, begun.ActivatesAt), (next.State, next.CanSign, next.ActivatesAt));
        Assert.InRange(next.ActivatesAt.Seconds - next.PublishedAt.Seconds, 2, 3);       // max-age and margin, a second each here, and none less

        // A retry changes nothing while it is under way.
        var again = await keys.RotateKeyAsync(new RotateKeyRequest { ExpectedActiveKid = first });
        Assert.Equal((begun.Kid, begun.ActivatesAt, begun.Revision.Seq), (again.Kid, again.ActivatesAt, again.Revision.Seq));

        var after = await ActiveAsync(keys, begun.Kid);
        var replaced = after.Keys.Single(key => key.Kid == first);
        Assert.Equal((WireState.VerifyOnly, false), (replaced.State, replaced.CanSign));
        Assert.True(replaced.NotAfter.Seconds >= old.ExpiresAt.Seconds, "the old key goes before the last token it signed");
        Assert.Equal(begun.Kid, (await issuance.IssueTokenAsync(IssuerFixture.Request())).Kid);
        Assert.Equal(Reason.KeyStateConflict, (await RefusedAsync(() => keys.RotateKeyAsync(new RotateKeyRequest { ExpectedActiveKid = first }))).Reason);
        // One event to announce, one to begin, one to replace: whoever was due to make it.
        Assert.Equal(3, await ScalarAsync<long>("SELECT count(*) FROM ledger.events WHERE kind = 5"));
    }

    [Fact]
    public async Task A_token_that_outlives_the_overlap_keeps_its_key_and_a_stated_overlap_is_kept_to_the_second()
    {
        var issuer = await StartAsync(new() { ["SCOPE_KEY_ROTATION_OVERLAP_SECONDS"] = "60" });
        var (keys, issuance) = (Keys(issuer), Issuance(issuer));
        var request = IssuerFixture.Request();
        request.Ttl = Duration.FromTimeSpan(TimeSpan.FromHours(1));
        var longLived = await issuance.IssueTokenAsync(request);
        var rotated = await keys.RotateKeyAsync(new RotateKeyRequest { Emergency = true });
        Assert.Equal(rotated.Kid, rotated.KeySet.ActiveKid);
        var end = rotated.KeySet.Keys.Single(key => key.Kid == longLived.Kid).NotAfter.Seconds;
        Assert.Equal(longLived.ExpiresAt.Seconds + KeyStates.IssuedMeanwhile, end);

        var stated = await keys.RotateKeyAsync(new RotateKeyRequest { Emergency = true, Overlap = Duration.FromTimeSpan(TimeSpan.FromSeconds(7)) });
        var cut = stated.KeySet.Keys.Single(key => key.Kid == rotated.Kid).NotAfter.Seconds;
        Assert.Equal(stated.ActivatesAt.Seconds + 7, cut);
    }

    [Fact]
    public async Task Two_Issuers_on_one_folder_publish_one_contract_and_make_each_change_once()
    {
        var (one, two) = (await StartAsync(), await StartAsync());
        var rotated = await Keys(one).RotateKeyAsync(new RotateKeyRequest());
        await ActiveAsync(Keys(one), rotated.Kid);
        await ActiveAsync(Keys(two), rotated.Kid);
        Assert.Equal((await Keys(one).GetKeySetAsync(new() { IncludeRetired = true })).KeySet, (await Keys(two).GetKeySetAsync(new() { IncludeRetired = true })).KeySet);
        Assert.Equal(rotated.Kid, (await Issuance(two).IssueTokenAsync(IssuerFixture.Request())).Kid);
        Assert.Equal(3, await ScalarAsync<long>("SELECT count(*) FROM ledger.events WHERE kind = 5"));
        Assert.Equal(1, await ScalarAsync<long>("SELECT count(*) FROM ledger.keys WHERE state = 1"));
    }

    [Fact]
    public async Task Rotations_asked_for_at_the_same_time_are_one()
    {
        var (one, two) = (await StartAsync(), await StartAsync());
        var answers = await Task.WhenAll(Enumerable.Range(0, 6).Select(i => Keys(i % 2 == 0 ? one : two).RotateKeyAsync(new RotateKeyRequest()).ResponseAsync));
        Assert.Single(answers.Select(answer => answer.Kid).Distinct());
    }

    [Fact]
    public async Task An_Issuer_without_the_active_seed_signs_with_no_other_and_says_why()
    {
        var one = await StartAsync();
        var folder = new KeyFolder(Path.Combine(_root, "other"));
        folder.Generate();
        var two = await StartAsync(new() { ["CLAW_KEY_FOLDER"] = folder.Path });
        var active = (await Keys(one).GetKeySetAsync(new())).KeySet.ActiveKid;

        var refusal = await RefusedAsync(() => Issuance(two).IssueTokenAsync(IssuerFixture.Request()));
        Assert.Equal(Reason.SigningKeyNotActive, refusal.Reason);
        Assert.Contains(active, refusal.Sentence, StringComparison.Ordinal);
        // What it holds is published, and signs nothing yet; what both say is the same.
        var told = (await Keys(two).GetKeySetAsync(new())).KeySet;
        Assert.Equal([(active, WireState.Active), (folder.Read()[0].KeyId.ToString(), WireState.Next)], told.Keys.Select(key => (key.Kid, key.State)));
        Assert.Equal(told, (await Keys(one).GetKeySetAsync(new())).KeySet);
        Assert.Equal(active, (await Issuance(one).IssueTokenAsync(IssuerFixture.Request())).Kid);

        // The seed arrives: no restart.
        var seed = Directory.GetFiles(_folder.Path).Single();
        File.Copy(seed, Path.Combine(folder.Path, Path.GetFileName(seed)));
        await Eventually.HoldsAsync("it signs", async () =>
        {
            try
            {
                return (await Issuance(two).IssueTokenAsync(IssuerFixture.Request())).Kid == active;
            }
            catch (Refusal r) when (r.Reason == Reason.SigningKeyNotActive)
            {
                return false;
            }
        });
    }

    [Fact]
    public async Task A_seed_that_appears_is_published_and_one_that_is_open_to_others_is_not()
    {
        var issuer = await StartAsync();
        var before = (await Keys(issuer).GetKeySetAsync(new())).KeySet;
        var made = new KeyFolder(_folder.Path).Generate();
        await Eventually.HoldsAsync("it is published", async () => (await Keys(issuer).GetKeySetAsync(new())).KeySet.Keys.Any(key => key.Kid == made.KeyId.ToString() && key.State == WireState.Next));
        Assert.Equal(before.ActiveKid, (await Keys(issuer).GetKeySetAsync(new())).KeySet.ActiveKid);
        if (OperatingSystem.IsWindows()) return;

        var open = new KeyFolder(_folder.Path).Generate();
        File.SetUnixFileMode(Path.Combine(_folder.Path, open.KeyId + ".seed"), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.OtherRead);
        await Eventually.HoldsAsync("it is told", () => issuer.Logs.Any(line => line.Contains($"{open.KeyId}.seed is open to other users", StringComparison.Ordinal)));
        Assert.Equal(Reason.SigningConfigInvalid, (await RefusedAsync(() => Keys(issuer).RotateKeyAsync(new RotateKeyRequest()))).Reason);
        Assert.Equal(before.ActiveKid, (await Issuance(issuer).IssueTokenAsync(IssuerFixture.Request())).Kid);       // what was read before goes on
    }

    [Fact]
    public async Task A_revoked_key_is_retired_with_its_tokens_in_one_act_and_its_seed_is_destroyed()
    {
        var issuer = await StartAsync();
        var keys = Keys(issuer);
        var request = IssuerFixture.Request();
        request.IdempotencyKey = "one";
        var token = await Issuance(issuer).IssueTokenAsync(request);

        Assert.Equal(Reason.KeyStateConflict, (await RefusedAsync(() => keys.RevokeKeyAsync(new RevokeKeyRequest { Kid = token.Kid }))).Reason);
        Assert.Equal(Reason.KeyNotFound, (await RefusedAsync(() => keys.RevokeKeyAsync(new RevokeKeyRequest { Kid = "0123456789abcdef" }))).Reason);
        Assert.Equal(Reason.KeyNotFound, (await RefusedAsync(() => keys.RevokeKeyAsync(new RevokeKeyRequest { Kid = "KID" }))).Reason);

        var rotated = await keys.RotateKeyAsync(new RotateKeyRequest { Emergency = true });
        var revoked = await keys.RevokeKeyAsync(new RevokeKeyRequest { Kid = token.Kid, Reason = "seed found in a log" });
        Assert.Equal((false, rotated.Kid), (revoked.AlreadyRevoked, revoked.KeySet.ActiveKid));
        Assert.DoesNotContain(revoked.KeySet.Keys, key => key.Kid == token.Kid);
        Assert.Equal((1L, 1L), (revoked.Revision.RevocationSeq, await ScalarAsync<long>($"SELECT count(*) FROM ledger.revocations WHERE kind = 9 AND seq = {revoked.Revision.Seq}")));
        Assert.Contains("\"revoked_kid\":\"" + token.Kid, await ScalarAsync<string>($"SELECT convert_from(payload, 'UTF8') FROM ledger.events WHERE seq = {revoked.Revision.Seq}"), StringComparison.Ordinal);

        var again = await keys.RevokeKeyAsync(new RevokeKeyRequest { Kid = token.Kid });
        Assert.Equal((true, revoked.Revision), (again.AlreadyRevoked, again.Revision));
        // Not even a retry gives its token out again.
        Assert.Equal(Reason.SigningKeyNotActive, (await RefusedAsync(() => Issuance(issuer).IssueTokenAsync(request))).Reason);
        await Eventually.HoldsAsync("the seed is gone", () => !File.Exists(Path.Combine(_folder.Path, token.Kid + ".seed")));
        Assert.True((await keys.GetKeySetAsync(new() { IncludeRetired = true })).KeySet.Keys.Single(key => key.Kid == token.Kid).Revoked);
    }

    [Fact]
    public async Task Revoking_the_active_key_puts_the_next_one_in_its_place_and_the_last_one_only_when_that_is_meant()
    {
        var issuer = await StartAsync();
        var keys = Keys(issuer);
        var begun = await keys.RotateKeyAsync(new RotateKeyRequest());
        var first = begun.KeySet.ActiveKid;
        Assert.Equal(begun.Kid, (await keys.RevokeKeyAsync(new RevokeKeyRequest { Kid = first })).KeySet.ActiveKid);
        Assert.Equal(begun.Kid, (await Issuance(issuer).IssueTokenAsync(IssuerFixture.Request())).Kid);

        var last = await keys.RevokeKeyAsync(new RevokeKeyRequest { Kid = begun.Kid, AllowLast = true });
        Assert.Null(last.KeySet);
        Assert.Equal(Reason.SigningNotConfigured, (await RefusedAsync(() => Issuance(issuer).IssueTokenAsync(IssuerFixture.Request()))).Reason);
        Assert.Equal(Reason.SigningNotConfigured, (await RefusedAsync(() => keys.GetKeySetAsync(new()))).Reason);
        var anew = await keys.RotateKeyAsync(new RotateKeyRequest { Emergency = true });
        Assert.Equal(anew.Kid, (await Issuance(issuer).IssueTokenAsync(IssuerFixture.Request())).Kid);
    }

    [Fact]
    public async Task A_key_past_its_cut_off_is_retired_by_itself()
    {
        var issuer = await StartAsync();
        var keys = Keys(issuer);
        var first = (await keys.GetKeySetAsync(new())).KeySet.ActiveKid;
        await keys.RotateKeyAsync(new RotateKeyRequest { Emergency = true, Overlap = new Duration() });
        await Eventually.HoldsAsync("it is retired", async () => (await keys.GetKeySetAsync(new() { IncludeRetired = true })).KeySet.Keys.Any(key => key.Kid == first && key.State == WireState.Retired && !key.Revoked));
        await Eventually.HoldsAsync("its seed is gone", () => !File.Exists(Path.Combine(_folder.Path, first + ".seed")));
    }

    [Fact]
    public async Task A_key_of_the_variables_is_not_rotated_by_a_call_but_can_be_revoked()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        var keys = new KeyService.KeyServiceClient(issuer.Process.Channel().Calls);
        Assert.Equal(Reason.KeySourceReadOnly, (await RefusedAsync(() => keys.RotateKeyAsync(new RotateKeyRequest()))).Reason);
        Assert.False((await keys.RevokeKeyAsync(new RevokeKeyRequest { Kid = "fe2b99fd9afaa999", AllowLast = true })).AlreadyRevoked);
        Assert.Equal(Reason.SigningNotConfigured, (await RefusedAsync(() => issuer.Issuance.IssueTokenAsync(IssuerFixture.Request()))).Reason);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("not the key")]
    public async Task Only_operators_change_keys(string? adminKey)
    {
        var issuer = await StartAsync();
        var keys = new KeyService.KeyServiceClient(issuer.Channel(adminKey).Calls);
        foreach (var call in (Func<Task>[])[
            async () => await keys.RotateKeyAsync(new RotateKeyRequest()),
            async () => await keys.RevokeKeyAsync(new RevokeKeyRequest { Kid = "fe2b99fd9afaa999" }),
            async () => await keys.CreateTransparencySnapshotAsync(new()),
            async () => await keys.ListTransparencySnapshotsAsync(new()),
        ])
            Assert.Equal(Reason.Unauthorized, (await Assert.ThrowsAsync<Refusal>(call)).Reason);
    }

    [Fact]
    public async Task Snapshots_are_a_signed_chain_that_no_two_in_a_second_break_and_that_every_change_lengthens()
    {
        var (one, two) = (await StartAsync(), await StartAsync());
        var latest = (await Keys(one).GetTransparencySnapshotAsync(new())).Snapshot;
        Assert.Equal(latest, (await Keys(two).GetTransparencySnapshotAsync(new())).Snapshot);
        var made = await Task.WhenAll(Enumerable.Range(0, 12).Select(i => Keys(i % 2 == 0 ? one : two).CreateTransparencySnapshotAsync(new()).ResponseAsync));
        Assert.Equal(12, made.Select(m => m.Snapshot.SnapshotId).Distinct().Count());
        var rotated = await Keys(one).RotateKeyAsync(new RotateKeyRequest { Emergency = true });
        var told = (await Keys(two).GetTransparencySnapshotAsync(new())).Snapshot;
        Assert.Equal((rotated.Kid, rotated.Kid), (told.ActiveKid, told.SignerKid));     // at once
        Assert.Equal(told, (await Keys(one).GetTransparencySnapshotAsync(new() { SnapshotId = told.SnapshotId })).Snapshot);

        var chain = new List<TransparencySnapshot>();
        for (string token = ""; ;)
        {
            var page = await Keys(one).ListTransparencySnapshotsAsync(new ListTransparencySnapshotsRequest { PageSize = 5, PageToken = token });
            chain.AddRange(page.Snapshots);
            if ((token = page.NextPageToken).Length == 0) break;
        }
        chain.Reverse();
        Assert.True(chain.Count >= 14);
        var publicKeys = (await Keys(one).GetKeySetAsync(new() { IncludeRetired = true })).KeySet.Keys.ToDictionary(key => key.Kid, key => new VerificationKey(key.PublicKey.Span));
        var previous = new byte[32];
        foreach (var (i, link) in chain.Index())
        {
            Assert.Equal((i + 1L, i == 0 ? "" : chain[i - 1].ChainHashB64U), (link.Number, link.PreviousChainHashB64U));
            var payload = link.PayloadJson.ToByteArray();
            var key = publicKeys[link.SignerKid];
            // As keys.proto says, in words of its own.
            var hash = SHA256.HashData(payload);
            Assert.Equal(Base64UrlText.Encode(hash), link.SnapshotHashB64U);
            Assert.True(key.Verify(payload, Decode(link.SignatureB64U, 64)));
            byte[] number = [0, 0, 0, 0, 0, 0, 0, (byte)link.Number];
            var chained = SHA256.HashData([.. number, .. previous, .. hash]);
            Assert.Equal(Base64UrlText.Encode(chained), link.ChainHashB64U);
            Assert.True(key.Verify(Encoding.ASCII.GetBytes("clawbureau:key-transparency:v1:" + link.ChainHashB64U), Decode(link.ChainSignatureB64U, 64)));
            previous = chained;
        }
        Assert.Matches("^kts_[0-9]+_[0-9a-f]{16}(_[0-9]+)?$", told.SnapshotId);
        Assert.Equal(Reason.TransparencySnapshotNotFound, (await RefusedAsync(() => Keys(one).GetTransparencySnapshotAsync(new() { SnapshotId = "kts_1_x" }))).Reason);
        Assert.Equal(Reason.PageTokenInvalid, (await RefusedAsync(() => Keys(one).ListTransparencySnapshotsAsync(new() { PageToken = "x" }))).Reason);
        Assert.Equal(Reason.InvalidRequest, (await RefusedAsync(() => Keys(one).GetTransparencySnapshotAsync(new() { Create = true }))).Reason);
    }

    [Fact]
    public async Task An_old_snapshot_is_followed_by_another_though_nothing_changed()
    {
        var issuer = await StartAsync(new() { ["SCOPE_KEY_TRANSPARENCY_REFRESH_SECONDS"] = "1" });
        var first = (await Keys(issuer).GetTransparencySnapshotAsync(new())).Snapshot;
        await Eventually.HoldsAsync("another one", async () => await ScalarAsync<long>("SELECT max(number) FROM ledger.key_snapshots") > first.Number + 1);
    }

    [Fact]
    public async Task A_change_of_the_algorithms_name_waits_as_a_key_does_and_no_JWK_states_a_name_while_both_live()
    {
        var old = await StartAsync();
        Assert.Equal(("EdDSA", false), Alg((await Keys(old).GetKeySetAsync(new())).KeySet));
        var token = (await Issuance(old).IssueTokenAsync(IssuerFixture.Request())).Token;
        var changed = await StartAsync(new() { ["CLAW_JWS_ALG"] = "Ed25519", ["CLAW_KEY_ACTIVATION_MARGIN_SECONDS"] = "10" });
        Assert.Equal(("EdDSA", true), Alg((await Keys(changed).GetKeySetAsync(new())).KeySet));
        Assert.Equal("EdDSA", HeaderAlg((await Issuance(changed).IssueTokenAsync(IssuerFixture.Request())).Token));     // copies of the JWKS that state it are still about

        await ScalarAsync<string>("UPDATE ledger.jws_algs SET announced_at = announced_at - 60 WHERE alg = 'Ed25519' RETURNING alg");
        await Eventually.HoldsAsync("the name changes", async () => HeaderAlg((await Issuance(changed).IssueTokenAsync(IssuerFixture.Request())).Token) == "Ed25519");
        Assert.True((await Keys(changed).GetKeySetAsync(new())).KeySet.JwsAlgMixed);
        Assert.Equal("EdDSA", HeaderAlg(token));

        // No token under the old name lives any more.
        await old.DisposeAsync();
        _issuers.Remove(old);
        await ScalarAsync<string>("UPDATE ledger.jws_algs SET alive_until = 1 WHERE alg = 'EdDSA' RETURNING alg");
        await Eventually.HoldsAsync("the JWK states the new one", async () => Alg((await Keys(changed).GetKeySetAsync(new())).KeySet) == ("Ed25519", false));

        static (string, bool) Alg(KeySet keys) => (keys.JwsAlg, keys.JwsAlgMixed);
        static string HeaderAlg(string token) => TokenParser.Parse(token).Algorithm.ToHeader();
    }

    [Theory]
    [InlineData("CLAW_JWS_ALG", "RS256", "CLAW_JWS_ALG")]
    [InlineData("CLAW_JWKS_MAX_AGE_SECONDS", "0", "CLAW_JWKS_MAX_AGE_SECONDS")]
    [InlineData("SCOPE_SIGNING_KEY", "x", "Both CLAW_KEY_FOLDER and SCOPE_SIGNING_KEY")]
    [InlineData("CLAW_KEY_FOLDER", "EMPTY", "No signing key")]
    public async Task A_key_setting_that_cannot_be_used_stops_the_start(string name, string value, string sentence)
    {
        var refused = await Assert.ThrowsAsync<Hosting.StartRefused>(() => StartAsync(new() { [name] = value == "EMPTY" ? Path.Combine(_root, "empty") : value }));
        Assert.Contains(sentence, refused.Message, StringComparison.Ordinal);
    }

    private async Task<TestProcess> StartAsync(Dictionary<string, string?>? settings = null)
    {
        var all = new Dictionary<string, string?>
        {
            ["CLAW_DATABASE_ISSUER"] = _database.Issuer,
            ["CLAW_KEY_FOLDER"] = _folder.Path,
            ["CLAW_JWKS_MAX_AGE_SECONDS"] = "1",
            ["CLAW_KEY_ACTIVATION_MARGIN_SECONDS"] = "1",
            ["SCOPE_ALLOWED_SCOPE_PREFIXES"] = "proxy:,clawproxy:,control:",
        };
        foreach (var (name, value) in settings ?? []) all[name] = value;
        var issuer = await TestProcess.StartAsync("issuer", s => s.AddIssuer(), a => a.MapIssuer(), all);
        _issuers.Add(issuer);
        await Eventually.HoldsAsync("the Issuer is ready", () => issuer.Services.GetRequiredService<Readiness>().IsReady);
        return issuer;
    }

    private static KeyService.KeyServiceClient Keys(TestProcess issuer) => new(Channel(issuer).Calls);

    private static IssuanceService.IssuanceServiceClient Issuance(TestProcess issuer) => new(Channel(issuer).Calls);

    private static readonly System.Runtime.CompilerServices.ConditionalWeakTable<TestProcess, PeerChannel> Channels = [];

    private static PeerChannel Channel(TestProcess issuer) => Channels.GetValue(issuer, process => process.Channel());

    private static async Task<KeySet> ActiveAsync(KeyService.KeyServiceClient keys, string kid)
    {
        KeySet? told = null;
        await Eventually.HoldsAsync($"{kid} is active", async () => (told = (await keys.GetKeySetAsync(new())).KeySet).ActiveKid == kid);
        return told!;
    }

    private static async Task<Refusal> RefusedAsync<T>(Func<Grpc.Core.AsyncUnaryCall<T>> call) => await Assert.ThrowsAsync<Refusal>(async () => await call());

    private async Task<T> ScalarAsync<T>(string sql)
    {
        await using var admin = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(_database.Admin) { Pooling = false }.ConnectionString);
        await using var command = admin.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync())!;
    }

    private static byte[] Decode(string text, int length)
    {
        var bytes = new byte[length];
        Assert.True(Base64UrlText.TryDecode(text, bytes, out int written) && written == length);
        return bytes;
    }
}
