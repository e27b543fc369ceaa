using ClawBureau.Protos.Control.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using GroupKind = ClawBureau.Protos.Types.V1.GroupKind;

namespace ClawBureau.ControlPlane.Tests;

/// <summary>What is true: parties with keys, their DIDs in the order they had them, and the tokens they got.</summary>
internal sealed class ControlWorld(ControlFixture control, IReadOnlyList<Party> owners, IReadOnlyList<List<Party>> controllers, IReadOnlyList<List<Party>> agents)
{
    private readonly Lock _lock = new();
    private readonly List<(Minted Of, string Token)> _issued = [];                 // locked
    private readonly Dictionary<int, ExportIdentityResponse> _bundles = [];        // locked: by controller, the last

    public static async Task<ControlWorld> CreateAsync(ControlFixture control)
    {
        async Task<Party[]> BoundAsync(int count) => await Task.WhenAll(Enumerable.Range(0, count).Select(_ => AgainAsync(control.BoundAsync)));
        async Task<List<Party>[]> PlacesAsync(int count) => [.. (await BoundAsync(count)).Select(party => new List<Party> { party })];
        return new(control, await BoundAsync(ControlModel.Owners), await PlacesAsync(ControlModel.Controllers), await PlacesAsync(ControlModel.Agents));
    }

    /// <summary>Everybody there is, as the model calls the role.</summary>
    public IEnumerable<(string Role, string Did)> Parties =>
        [.. owners.Select(o => ("owner", o.Did)), .. controllers.SelectMany(c => c).Select(c => ("controller", c.Did)), .. agents.SelectMany(a => a).Select(a => ("agent", a.Did))];

    public async Task<bool> TryAsync(ControlFixture through, Operation o) => await (await SignAsync(through, o))();

    /// <summary>Asks for the challenge and signs it.</summary>
    /// <returns>Sends the request; whether it was done.</returns>
    public async Task<Func<Task<bool>>> SignAsync(ControlFixture through, Operation o)
    {
        try
        {
            var send = await AgainAsync(() => RequestOfAsync(through, o));
            return () => SendAsync(send);
        }
        catch (Refusal refusal) when (IsAnswer(refusal))
        {
            return () => Task.FromResult(false);
        }
    }

    /// <summary>Owners, freezes, policies, agents and the life of every token are as the model has them.</summary>
    public async Task<bool> IsAsync(ControlModel model)
    {
        for (int i = 0; i < controllers.Count; i++)
        {
            if (model.OwnerOf(i) is not { } owner) continue;
            var did = controllers[i][model.ControllerAt(i).Generation].Did;
            var read = (await control.Controllers.GetControllerAsync(new() { ControllerDid = did })).Controller;
            if (read.ControllerDid != did || !read.Active || read.OwnerDid != owners[owner].Did) return false;
            if ((read.TransferState == TransferState.TransferPending) != model.IsFrozen(i) || (read.Policy.AllowedSensitiveScopes.Count == 1) != model.IsNarrowed(i)) return false;
            var listed = await control.Controllers.ListAgentsAsync(new() { ControllerDid = did });
            var expected = model.AgentsOf(i).Select(a => agents[a.Place][a.Generation].Did).Order(StringComparer.Ordinal);
            if (!listed.Bindings.Where(b => b.Active).Select(b => b.AgentDid).Order(StringComparer.Ordinal).SequenceEqual(expected)) return false;
            if (listed.Bindings.Any(b => b.OwnerDid != owners[owner].Did)) return false;
        }
        // Two tokens of one kind that were issued at once are told apart by nothing; the count of the living is.
        foreach (var kind in model.Tokens.GroupBy(token => token with { Alive = true }))
        {
            int alive = 0;
            foreach (var (_, token) in _issued.Where(issued => issued.Of == kind.Key)) alive += await control.IsActiveAsync(token) ? 1 : 0;
            if (alive != kind.Count(token => token.Alive)) return false;
        }
        return model.Tokens.Count == _issued.Count;
    }

    private async Task<Func<Task<bool>>> RequestOfAsync(ControlFixture through, Operation o)
    {
        var (owner, controller, agent) = (owners[o.Owner], controllers[o.Controller][^1], agents[o.Agent][^1]);
        switch (o.What)
        {
            case What.Register: return Done(await through.ToRegisterAsync(owner, controller));
            case What.RegisterAgent: return Done(await through.ToRegisterAgentAsync(owner, controller, agent));
            case What.UpdatePolicy: return Done(await through.ToUpdatePolicyAsync(owner, controller, ["control:key:rotate"], ["control:key:rotate"]));
            // A retry is answered as it stands; here nobody retries, so another one was first.
            case What.RequestTransfer:
                var request = await through.ToRequestTransferAsync(owner, controller, owners[o.Target]);
                return async () => !(await request()).AlreadyPending;
            case What.ConfirmTransfer:
                var confirm = await through.ToConfirmTransferAsync(owner, controller);
                return async () => !(await confirm()).AlreadyTransferred;
            case What.CancelTransfer: return Done(await through.ToCancelTransferAsync(owner, controller));
            case What.PassDeadline:
                return async () => await control.ScalarAsync<long>($"""
                    WITH passed AS (
                      UPDATE control.controllers SET transfer_expires_at = now() - interval '1 hour' WHERE controller_did = '{controller.Did}' AND frozen AND transfer_expires_at > now() RETURNING 1
                    )
                    SELECT count(*) FROM passed
                    """) == 1;
            case What.Issue:
                var minted = new Minted(o.Owner, new(o.Controller, controllers[o.Controller].Count - 1), new(o.Agent, agents[o.Agent].Count - 1));
                return async () =>
                {
                    var token = (await through.IssueAsync(new(owner, controller, agent))).Token;
                    lock (_lock) _issued.Add((minted, token));
                    return true;
                };
            case What.RotateController: return await RotationAsync(through, RotationRole.Controller, owner, controllers[o.Controller], null);
            case What.RotateAgent: return await RotationAsync(through, RotationRole.Agent, owner, agents[o.Agent], controller);
            case What.Export:
                var export = await through.ToExportAsync(owner, controller);
                return async () =>
                {
                    var bundle = await export();
                    lock (_lock) _bundles[o.Controller] = bundle;
                    return true;
                };
            case What.Import:
                if (!_bundles.TryGetValue(o.Controller, out var exported)) return () => Task.FromResult(false);
                return Done(await through.ToImportAsync(owner, exported.BundleJson.ToByteArray(), exported.BundleHashB64U));
            case What.RevokeOwner: return Done(await through.ToRevokeBindingAsync(owner));
            case What.RevokeController: return Done(await through.ToRevokeBindingAsync(controller));
            case What.RevokeAgent: return Done(await through.ToRevokeBindingAsync(agent));
            case What.BlockAgent: return Done(() => through.Revocation.BlockGroupAsync(new() { Group = new() { Kind = GroupKind.Agent, Value = agent.Did } }).ResponseAsync);
            case What.LiftAgent: return Done(() => through.Revocation.LiftBlockAsync(new() { Group = new() { Kind = GroupKind.Agent, Value = agent.Did } }).ResponseAsync);
            default: throw new InvalidOperationException($"nobody said how {o.What} is done");
        }
    }

    /// <summary>To a new DID in the same place: whoever speaks of it afterwards means the new one.</summary>
    private async Task<Func<Task<bool>>> RotationAsync(ControlFixture through, RotationRole role, Party owner, List<Party> names, Party? controller)
    {
        var to = await through.BoundAsync();
        var send = await through.ToRotateAsync(role, owner, names[^1], to, controller);
        return async () =>
        {
            await send();
            lock (_lock) names.Add(to);
            return true;
        };
    }

    private static Func<Task<bool>> Done<T>(Func<Task<T>> send) => async () =>
    {
        await send();
        return true;
    };

    private static async Task<bool> SendAsync(Func<Task<bool>> send)
    {
        try
        {
            return await AgainAsync(send);
        }
        catch (Refusal refusal) when (IsAnswer(refusal))
        {
            return false;
        }
    }

    /// <summary>As often as it is refused with nothing done: cuts followed each other faster than seconds do, or a busy machine kept the ledger from its Issuer.</summary>
    private static async Task<T> AgainAsync<T>(Func<Task<T>> call)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (true)
        {
            try
            {
                return await call();
            }
            catch (Refusal refusal) when (refusal.Reason is Reason.LedgerOverloaded or Reason.LedgerUnavailable && !patience.IsCancellationRequested)
            {
                await Task.Yield();
            }
        }
    }

    private static bool IsAnswer(Refusal refusal) =>
        refusal.Reason is not (Reason.Internal or Reason.LedgerOverloaded or Reason.LedgerUnavailable or Reason.LedgerOutcomeUnknown or Reason.RateLimited);
}
