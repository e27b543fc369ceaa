using System.CommandLine;
using System.Text.Json;
using ClawBureau.Hosting.Keys;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Audience = ClawBureau.Protos.Types.V1.Audience;
using KeyState = ClawBureau.Protos.Keys.V1.KeyState;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Cli.Verbs;

/// <summary>
/// `claw keys smoke`: the kid interop check of the runbook's rotation (section 1, step 4), on a stack that runs. One token is issued
/// and revoked again; nothing else is changed.
/// </summary>
internal static class KeySmokeVerb
{
    private sealed record Step(string Name, bool? Ok, string? Told);

    public static Command Create()
    {
        var sub = new Option<string>("--sub") { Description = "Whom the token of the check is for.", DefaultValueFactory = _ => "did:key:z6MkclawKeysSmoke" };
        var aud = new Option<string>("--aud") { Description = "Its audience.", DefaultValueFactory = _ => "claw-keys-smoke.invalid" };
        var scope = new Option<string>("--scope") { Description = "Its scope; one that the policy grants.", DefaultValueFactory = _ => "clawproxy:call" };
        var json = new Option<bool>("--json") { Description = "Print the steps as one JSON object." };
        var issuer = new Connection("issuer");
        var introspector = new Connection("introspector", issuer);
        var edge = new Connection("edge", issuer);
        var command = new Command("smoke", "Check on a running stack that contract, JWKS, issuance and introspection agree about the keys. Exit code 1: they do not.") { sub, aud, scope, json };
        issuer.AddTo(command);
        introspector.AddTo(command);
        edge.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var steps = new List<Step>();
            var keys = await AskIssuerAsync(c => c.GetKeySetAsync(new GetKeySetRequest { IncludeRetired = true }, cancellationToken: cancellationToken).ResponseAsync, c => new KeyService.KeyServiceClient(c.Calls));
            var now = TimeProvider.System.GetUtcNow();
            var published = keys.KeySet.Clone();
            published.Keys.Clear();
            published.Keys.AddRange(keys.KeySet.Keys.Where(key => key.State != KeyState.Retired));
            var contract = KeyDocuments.Contract(published, now);
            var (jwksText, contractText) = (KeyDocuments.Jwks(published, now), contract.ToJson());
            var jwks = ReadJwks(jwksText);

            Check("the active key signs and is accepted", contract.SigningKids.Contains(contract.ActiveKid) && contract.AcceptedKids.Contains(contract.ActiveKid), contract.ActiveKid.ToString());
            Check("the JWKS lists exactly the accepted keys, each under its own kid", jwks.Keys.SequenceEqual(contract.AcceptedKids), string.Join(", ", contract.AcceptedKids));
            Check("every key with a cut-off is accepted until it", contract.ExpiringKids.All(key => contract.AcceptedKids.Contains(key.KeyId) && key.NotAfter >= now.ToUnixTimeSeconds()),
                contract.ExpiringKids.Count == 0 ? "none has one" : string.Join(", ", contract.ExpiringKids.Select(key => $"{key.KeyId} until {Terminal.Time(key.NotAfter)}")));

            var (overHttp, contractOverHttp) = (await edge.GetAsync(parsed, "/v1/jwks", cancellationToken), await edge.GetAsync(parsed, "/v1/keys/rotation-contract", cancellationToken));
            if (overHttp is null || contractOverHttp is null) steps.Add(new Step("the Edge publishes the same", null, "no Edge is known: say --edge"));
            else Check("the Edge publishes the same", IsSame(overHttp, jwksText) && IsSame(contractOverHttp, contractText), null);

            var issued = await AskIssuerAsync(c => c.IssueTokenAsync(new IssueTokenRequest
            {
                Sub = parsed.GetValue(sub),
                Aud = new Audience { Values = { parsed.GetValue(aud)! } },
                Scope = { parsed.GetValue(scope)! },
                Ttl = Duration.FromTimeSpan(TimeSpan.FromMinutes(1)),
            }, cancellationToken: cancellationToken).ResponseAsync, c => new IssuanceService.IssuanceServiceClient(c.Calls));
            var token = TokenParser.Parse(issued.Token);
            Check("a new token is signed by the active key", token.KeyId == contract.ActiveKid, token.KeyId?.ToString());
            Check("the JWKS alone verifies it", token.KeyId is { } kid && jwks.TryGetValue(kid, out var key) && VerifiesUnder(key, token), null);
            var answer = await IntrospectAsync(issued.Token);
            Check("it introspects active, under that key", answer.Active && answer.Kid == contract.ActiveKid.ToString(), ReasonOf(answer));

            using var unknown = new SigningKey(System.Security.Cryptography.RandomNumberGenerator.GetBytes(Ed25519.SeedLength));
            var stranger = TokenSigner.Sign(token.Claims, unknown);
            Check("under a kid nobody knows it is TOKEN_UNKNOWN_KID", ReasonOf(await IntrospectAsync(stranger.Compact)) == "TOKEN_UNKNOWN_KID", unknown.KeyId.ToString());
            var past = keys.KeySet.Keys.FirstOrDefault(k => !k.Revoked && (k.State == KeyState.Retired || k.NotAfter?.Seconds < now.ToUnixTimeSeconds()));
            if (past is null) steps.Add(new Step("under a kid past its cut-off it is TOKEN_KID_EXPIRED", null, "no key is past its cut-off yet"));
            else Check("under a kid past its cut-off it is TOKEN_KID_EXPIRED", ReasonOf(await IntrospectAsync(UnderKid(stranger, past.Kid))) == "TOKEN_KID_EXPIRED", past.Kid);

            var revoked = await AskIssuerAsync(c => c.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { Token = issued.Token } }, Reason = "claw keys smoke" }, cancellationToken: cancellationToken).ResponseAsync,
                c => new RevocationService.RevocationServiceClient(c.Calls));
            answer = await IntrospectAsync(issued.Token);
            Check("revoked, it introspects revoked", answer.Revoked, $"revocation {revoked.Revision.RevocationSeq}");

            bool ok = steps.TrueForAll(step => step.Ok != false);
            if (parsed.GetValue(json)) Terminal.PrintJson(new { ok, steps = steps.Select(step => new { name = step.Name, ok = step.Ok, told = step.Told }) });
            else foreach (var step in steps) Console.Out.WriteLine($"{(step.Ok switch { true => "ok", false => "FAIL", _ => "-" }),-4}  {step.Name}{(step.Told is null ? "" : $" ({step.Told})")}");
            return ok ? ExitCode.Done : ExitCode.Refused;

            void Check(string name, bool holds, string? told) => steps.Add(new Step(name, holds, string.IsNullOrEmpty(told) ? null : told));

            Task<T> AskIssuerAsync<TClient, T>(Func<TClient, Task<T>> ask, Func<Hosting.Peers.PeerChannel, TClient> client) => issuer.CallAsync(parsed, channel => ask(client(channel)));

            Task<IntrospectTokenResponse> IntrospectAsync(string compact) => introspector.CallAsync(parsed, channel => new IntrospectionService.IntrospectionServiceClient(channel.Calls)
                .IntrospectTokenAsync(new IntrospectTokenRequest { Token = compact }, cancellationToken: cancellationToken).ResponseAsync);
        });
        return command;
    }

    private static bool VerifiesUnder(VerificationKey key, ParsedToken token)
    {
        try
        {
            JwsVerifier.Verify(token, new VerificationKeySet([key]), DateTimeOffset.FromUnixTimeSeconds(token.Claims.IssuedAt));
            return true;
        }
        catch (Refusal)
        {
            return false;
        }
    }

    private static bool IsSame(byte[] document, byte[] other)
    {
        using var one = JsonDocument.Parse(document);
        using var two = JsonDocument.Parse(other);
        return JsonElement.DeepEquals(one.RootElement, two.RootElement);
    }

    private static string ReasonOf(IntrospectTokenResponse answer) => answer.Active ? "" : ReasonCatalog.Of((Reason)answer.InactiveReason).Code;

    /// <summary>The same token under the name of another key, whose signature it does not have.</summary>
    private static string UnderKid(SignedToken token, string kid)
    {
        var parts = token.Compact.Split('.');
        var header = System.Text.Encoding.ASCII.GetBytes($$"""{"alg":"EdDSA","typ":"JWT","kid":"{{kid}}"}""");
        return $"{Base64UrlText.Encode(header)}.{parts[1]}.{parts[2]}";
    }

    /// <summary>In the document's order. A key whose kid is not its own makes the document unusable.</summary>
    private static Dictionary<KeyId, VerificationKey> ReadJwks(byte[] document)
    {
        using var jwks = JsonDocument.Parse(document);
        var keys = new Dictionary<KeyId, VerificationKey>();
        Span<byte> publicKey = stackalloc byte[Ed25519.PublicKeyLength];
        foreach (var jwk in jwks.RootElement.GetProperty("keys").EnumerateArray())
        {
            if (!Base64UrlText.TryDecode(jwk.GetProperty("x").GetString(), publicKey, out _)) throw new Refusal(Reason.SigningConfigInvalid, "The JWKS has a key that is no Ed25519 key");
            var key = new VerificationKey(publicKey);
            if (key.KeyId.ToString() != jwk.GetProperty("kid").GetString()) throw new Refusal(Reason.SigningConfigInvalid, "The JWKS names a key by a kid that is not its own");
            keys.Add(key.KeyId, key);
        }
        return keys;
    }
}
