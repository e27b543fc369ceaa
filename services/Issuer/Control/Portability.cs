using ClawBureau.Ledger;
using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Issuer.Control;

/// <summary>A bundle that was exported.</summary>
internal sealed record ExportAnswer(byte[] Bundle, string BundleHash, ActOutcome Outcome);

/// <param name="Outcome">Null: it was imported before.</param>
internal sealed record ImportAnswer(string BundleHash, string ControllerDid, ActOutcome? Outcome);

/// <summary>Carries a controller with its agents and names from one issuer to another (control-plane-http.md 2.7, 2.8).</summary>
internal sealed class Portability(ControlLedger ledger, LedgerReads reads, ControlViews views, ControlOptions options, IssuerOptions issuer)
{
    /// <param name="order">Signed by the owner.</param>
    /// <param name="requestedControllerDid">Its present or a former DID.</param>
    /// <param name="requestedAgentDid">Null: all its active agents.</param>
    /// <param name="withHmac">Version 1, for existing readers.</param>
    /// <exception cref="Refusal">In the contract's order; a frozen controller is not exported (section 9, item 7).</exception>
    public Task<ExportAnswer> ExportAsync(
        SignedOrder order, string requestedControllerDid, string? requestedAgentDid, bool withHmac, CancellationToken cancellationToken) => ledger.ActAsync<ExportAnswer>(async snapshot =>
    {
        var controller = await ControllerRegistry.RequireControllerAsync(snapshot, requestedControllerDid);
        order.RequireFields();
        controller.RequireOwner(order.OwnerDid);
        controller.RequireThawed(snapshot.Now);
        var agent = requestedAgentDid is null ? null : await snapshot.ResolveAgentAsync(controller.ControllerDid, requestedAgentDid);
        var challenge = await snapshot.RequireChallengeAsync(
            order, Purpose.ExportIdentity, c => c.ControllerDid == controller.ControllerDid && c.AgentDid == agent?.Did);
        if (agent is { Record: null }) throw new Refusal(Reason.ControllerAgentNotFound);
        controller.RequireActive();
        Signed.RequireSignature(challenge, order.OwnerDid, order.Signature);

        // Records that ended are not carried along: whoever imports a fresh export shall not be told that it holds revoked ones.
        var agents = agent is null ? await snapshot.ListAgentsAsync(controller.ControllerDid) : [agent.Record!];
        var aliases = (await snapshot.ListAgentAliasesAsync(controller.ControllerDid)).Where(alias => alias.Active).ToList();
        foreach (var name in await snapshot.ListNamesAsync(controller.ControllerDid))
        {
            if (await snapshot.FindControllerAliasAsync(name) is { Active: true } alias) aliases.Add(alias);
        }
        var records = new IdentityRecords(order.OwnerDid, controller, [.. agents.Where(a => a.Active)], aliases);
        var bundle = Write(records, new DateTimeOffset(snapshot.Now), withHmac, out var bundleHash);
        var act = new ControlAct
        {
            What = EventKind.IdentityExported,
            Caller = order.OwnerDid,
            Correlation = order.Correlation,
            About = controller.ControllerDid,
            Facts = new Dictionary<string, object?>
            {
                ["agent_did"] = agent?.Did,
                ["bundle_hash_b64u"] = bundleHash,
                ["challenge_id"] = challenge.ChallengeId,
                ["controller_did"] = controller.ControllerDid,
                ["owner_did"] = order.OwnerDid,
            },
            ChallengeId = challenge.ChallengeId,
            Seen = snapshot.Seen,
        };
        return Decision<ExportAnswer>.Record(act, outcome => new(bundle, bundleHash, outcome));
    }, cancellationToken);

    /// <summary>All of a bundle or nothing. Never puts older records over newer ones, never thaws a frozen controller.</summary>
    /// <exception cref="Refusal">In the contract's order.</exception>
    public async Task<ImportAnswer> ImportAsync(SignedOrder order, ReadOnlyMemory<byte> json, CancellationToken cancellationToken)
    {
        order.RequireFields();
        if (json.IsEmpty) throw Refusal.OfField(Reason.InvalidRequest, "bundle", "bundle is required");
        if (json.Length > IdentityBundle.MostBytes) throw new Refusal(Reason.ImportBundleInvalid, $"The bundle is longer than {IdentityBundle.MostBytes} bytes");
        var bundle = IdentityBundle.Read(json);
        var keys = bundle.Version == "2" ? await ReadKeysAsync(cancellationToken) : [];
        return await ledger.ActAsync(snapshot => JudgeAsync(snapshot, order, bundle, keys), cancellationToken);
    }

    private async Task<Decision<ImportAnswer>> JudgeAsync(ControlSnapshot snapshot, SignedOrder order, IdentityBundle bundle, IReadOnlyList<VerificationKey> keys)
    {
        var imported = await snapshot.FindImportAsync(bundle.BundleHash);
        // The challenge of an import that is recorded already: a retry. Its marker lives longer than any challenge.
        var usedFor = imported is { } prior && prior.OwnerDid == order.OwnerDid ? order.ChallengeId : null;
        var challenge = await snapshot.RequireChallengeAsync(order, Purpose.ImportIdentity, c => c.BundleHash == bundle.BundleHash, usedFor);
        Signed.RequireSignature(challenge, order.OwnerDid, order.Signature);
        if (bundle.PayloadHash != bundle.BundleHash) throw new Refusal(Reason.ImportBundleTampered);
        RequireGenuine(bundle, keys, snapshot.Now);
        var records = bundle.ReadRecords();
        if (records.OwnerDid != order.OwnerDid || records.Controller.OwnerDid != order.OwnerDid) throw new Refusal(Reason.ImportOwnerMismatch);
        if (!records.Controller.Active || records.Agents.Any(agent => !agent.Active)) throw new Refusal(Reason.ImportRevokedRecord);
        if (imported is not null && imported.ExpiresAt > snapshot.Now)
            return Decision<ImportAnswer>.Stands(new(bundle.BundleHash, imported.ControllerDid, null), challenge.ChallengeId);
        return await DecideAsync(snapshot, order, bundle, records, challenge);
    }

    /// <summary>
    /// IMPORT_BUNDLE_SIGNATURE_INVALID and IMPORT_BUNDLE_STALE. Version 1 in the contract's order; what its signature leaves
    /// open, and version 2, with the declared age first, because the signature covers it (section 9, item 9).
    /// </summary>
    private void RequireGenuine(IdentityBundle bundle, IReadOnlyList<VerificationKey> keys, DateTime now)
    {
        if (bundle.Version == "1")
        {
            if (options.BundleHmacKey is not { } key) throw new Refusal(Reason.ExportSigningNotConfigured);
            if (!bundle.VerifiesHmac(key)) throw new Refusal(Reason.ImportBundleSignatureInvalid);
        }
        if (bundle.ExportedAt + options.BundleMaxAge < now) throw new Refusal(Reason.ImportBundleStale);
        bool genuine = bundle.Version == "1"
            ? bundle.AgreesWithPayloadTime
            : keys.Any(key => key.KeyId.ToString() == bundle.SignerKid && key.IsAcceptedAt(now) && bundle.VerifiesWith(key));
        // Nobody exports in the future; what says so would outlive its age.
        if (!genuine || bundle.ExportedAt > now + TimeSpan.FromSeconds(TokenLimits.MaxIssuedAheadSeconds)) throw new Refusal(Reason.ImportBundleSignatureInvalid);
    }

    private async Task<Decision<ImportAnswer>> DecideAsync(ControlSnapshot snapshot, SignedOrder order, IdentityBundle bundle, IdentityRecords records, Challenge challenge)
    {
        var controllerDid = records.Controller.ControllerDid;
        if (records.Agents.Count > options.AgentsPerController) throw new Refusal(Reason.ControllerAgentLimitReached);
        var existing = await snapshot.FindControllerAsync(controllerDid);
        if (existing is not null && existing.OwnerDid != order.OwnerDid) throw new Refusal(Reason.ImportControllerConflict);
        if (records.Controller.Frozen || existing?.IsFrozenAt(snapshot.Now) == true) throw new Refusal(Reason.ControllerTransferFrozen);

        var bindings = new List<Binding>();
        var agents = new List<Agent>();
        var rolledBack = existing is not null && IsNewer(existing, records.Controller);
        foreach (var agent in records.Agents)
        {
            if (agent.OwnerDid != order.OwnerDid) throw new Refusal(Reason.ImportAgentConflict);
            var here = await snapshot.FindAgentAsync(controllerDid, agent.AgentDid);
            if (here is not null && here.OwnerDid != order.OwnerDid) throw new Refusal(Reason.ImportAgentConflict);
            if (await snapshot.FindBindingAsync(agent.AgentDid) is { } binding) bindings.Add(binding);
            if ((await snapshot.ListForeignAgentsAsync(agent.AgentDid, order.OwnerDid)).Any(claim => claim.Consented)) throw new Refusal(Reason.ImportAgentConflict);
            rolledBack |= here is { Active: false };
            agents.Add(agent with { LastChallengeId = challenge.ChallengeId, Consented = here?.Consented == true || agent.AgentDid == order.OwnerDid });
        }
        var aliases = await JudgeAliasesAsync(snapshot, order, records);
        rolledBack |= await snapshot.FindControllerAliasAsync(controllerDid) is { Active: true };
        if (rolledBack) throw new Refusal(Reason.ImportRollbackRefused);

        var controller = records.Controller with
        {
            LastChallengeId = challenge.ChallengeId,
            ChangedAt = snapshot.Now,
            Consented = existing?.Consented == true || controllerDid == order.OwnerDid,
        };
        var import = new Import
        {
            BundleHash = bundle.BundleHash,
            ControllerDid = controllerDid,
            OwnerDid = order.OwnerDid,
            ImportedAt = snapshot.Now,
            ExpiresAt = snapshot.Now + options.BundleMaxAge,
        };
        var act = new ControlAct
        {
            What = EventKind.IdentityImported,
            Caller = order.OwnerDid,
            Correlation = order.Correlation,
            About = controllerDid,
            Facts = new Dictionary<string, object?>
            {
                ["agent_dids"] = agents.Select(agent => agent.AgentDid),
                ["bundle_hash_b64u"] = bundle.BundleHash,
                ["challenge_id"] = challenge.ChallengeId,
                ["controller_did"] = controllerDid,
                ["owner_did"] = order.OwnerDid,
                ["policy_hash_b64u"] = controller.PolicyHash,
            },
            ChallengeId = challenge.ChallengeId,
            Seen = snapshot.Seen,
            Bindings = bindings,
            Controllers = [controller],
            Agents = agents,
            Aliases = aliases,
            Imports = [import],
            MustNotBeBlocked =
            [
                .. agents.Select(agent => agent.AgentDid).Concat(aliases.Select(alias => alias.FromDid)).Append(controllerDid).Append(order.OwnerDid)
                    .Distinct(StringComparer.Ordinal).SelectMany(did => ChainGroups.OfDid(did, order.OwnerDid)),
            ],
            // As with rotating here: what is dead under a former name does not come back under the one that a bundle gives it.
            Cuts =
            [
                .. aliases.SelectMany(alias => ChainGroups.OfDid(alias.ToDid, order.OwnerDid).Zip(ChainGroups.OfDid(alias.FromDid, order.OwnerDid), (to, from) => new CutOrder(to, from)))
                    .DistinctBy(cut => cut.Group),
            ],
        };
        return Decision<ImportAnswer>.Record(act, outcome => new(bundle.BundleHash, controllerDid, outcome));
    }

    /// <summary>The active aliases of this owner that lead to this controller or its agents; bundles of others hold more.</summary>
    /// <exception cref="Refusal">IMPORT_ALIAS_CONFLICT</exception>
    private static async Task<IReadOnlyList<Alias>> JudgeAliasesAsync(ControlSnapshot snapshot, SignedOrder order, IdentityRecords records)
    {
        var controllerDid = records.Controller.ControllerDid;
        var own = records.Aliases.Where(alias => alias.Active && alias.OwnerDid == order.OwnerDid).ToList();
        var names = new List<string> { controllerDid };
        var leading = new List<Alias>();
        for (int i = 0; i < names.Count; i++)
        {
            var former = own.Where(alias => alias.Role == AliasRole.Controller && alias.ToDid == names[i] && !names.Contains(alias.FromDid, StringComparer.Ordinal)).ToList();
            leading.AddRange(former);
            names.AddRange(former.Select(alias => alias.FromDid));
        }
        foreach (var alias in leading)
        {
            var here = await snapshot.FindControllerAliasAsync(alias.FromDid);
            if (here is { Active: true } && here.ToDid != alias.ToDid) throw new Refusal(Reason.ImportAliasConflict);
            // A controller that is in use here is not renamed by a bundle.
            if (await snapshot.FindControllerAsync(alias.FromDid) is { Active: true }) throw new Refusal(Reason.ImportAliasConflict);
        }
        var within = own.Where(alias => alias.Role == AliasRole.Agent && alias.ControllerDid == controllerDid).ToList();
        foreach (var alias in within)
        {
            var here = await snapshot.FindAgentAliasAsync(controllerDid, alias.FromDid);
            if (here is { Active: true } && here.ToDid != alias.ToDid) throw new Refusal(Reason.ImportAliasConflict);
            if (await snapshot.FindAgentAsync(controllerDid, alias.FromDid) is { Active: true }) throw new Refusal(Reason.ImportAliasConflict);
            if (records.Agents.Any(agent => agent.AgentDid == alias.FromDid)) throw new Refusal(Reason.ImportBundleInvalid);
        }
        return [.. leading, .. within];
    }

    /// <summary>What stands here was changed after what the bundle holds, by the records' own times: those the signature covers.</summary>
    private static bool IsNewer(Controller here, Controller bundled) =>
        !here.Active
        || (here.PolicyHash != bundled.PolicyHash && here.PolicyUpdatedAt >= bundled.PolicyUpdatedAt)
        || here.TransferredAt > (bundled.TransferredAt ?? DateTime.MinValue)
        || here.RotationConfirmedAt > (bundled.RotationConfirmedAt ?? DateTime.MinValue);

    private byte[] Write(IdentityRecords records, DateTimeOffset exportedAt, bool withHmac, out string bundleHash)
    {
        if (!withHmac) return IdentityBundle.WriteSigned(records, exportedAt, issuer.Keys.ActiveIn(views.Current, exportedAt), issuer.IssuerDid.ToString(), out bundleHash);
        return IdentityBundle.WriteHmac(records, exportedAt, options.BundleHmacKey ?? throw new Refusal(Reason.ExportSigningNotConfigured), out bundleHash);
    }

    /// <summary>Whose signature counts: keys that sign or signed here, and other issuers' that were configured.</summary>
    private async Task<IReadOnlyList<VerificationKey>> ReadKeysAsync(CancellationToken cancellationToken)
    {
        try
        {
            var own = (await reads.Reader.ReadKeysAsync(cancellationToken)).Select(row => row.Key).Where(key => !key.IsForeign && key.State != KeyState.Next);
            return [.. own.Select(key => new VerificationKey(key.PublicKey, key.State, key.NotAfter)), .. options.BundleKeys];
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException)
        {
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
    }
}
