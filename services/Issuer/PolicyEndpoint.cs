using System.Security.Cryptography;
using ClawBureau.Hosting.Calls;
using ClawBureau.Hosting.Policies;
using ClawBureau.Ledger;
using ClawBureau.Ledger.Reading;
using ClawBureau.Protos.Policy.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Npgsql;
using PolicyVersion = ClawBureau.Protos.Policy.V1.PolicyVersion;

namespace ClawBureau.Issuer;

/// <summary>clawbureau.policy.v1 on the wire.</summary>
public sealed class PolicyEndpoint(PolicyBook policies, LedgerReads ledger, LedgerWriter writer, ControlViews views, IssuerOptions options, DatabaseClock clock)
    : PolicyService.PolicyServiceBase
{
    private const int MostReason = 256;
    private const int MostGrants = 1000;
    private const int DefaultPage = 20;
    private const int MostPage = 100;

    public override async Task<GetPolicyResponse> GetPolicy(GetPolicyRequest request, ServerCallContext context) => new()
    {
        PolicyVersion = request.Version.Length == 0
            ? Describe(await policies.ReadAsync(context.CancellationToken))
            : await FindAsync(request.Version, context.CancellationToken),
    };

    public override async Task<PutPolicyResponse> PutPolicy(PutPolicyRequest request, ServerCallContext context)
    {
        if (request.Policy is null) throw Refusal.OfField(Reason.InvalidRequest, "policy", "policy is required");
        if (request.Reason.Length > MostReason)
            throw new Refusal(Reason.FieldTooLong, metadata: new Dictionary<string, string> { ["field"] = "reason", ["most"] = $"{MostReason}" });
        var policy = PolicyMapping.FromWire(request.Policy);
        var document = System.Text.Encoding.UTF8.GetBytes(policy.ToDocument());
        if (policy.Version == options.Policy.Version && policy.ToDocument() != options.Policy.ToDocument())
            throw VersionTaken(policy.Version);

        // Before it is in force: what is revoked unseen is kept for the longest life there ever was.
        await AskAsync(reader => reader.RaiseLongestTtlAsync(PolicyBook.LongestTtlOf(policy), context.CancellationToken));
        var outcome = await writer.AppendAsync(new PolicyAct
        {
            Caller = context.GetCaller().Name,
            Correlation = Mapping.ToCorrelation(request.Correlation, context.GetCorrelation(), "", ""),
            Version = policy.Version,
            Document = document,
            ExpectedVersion = await ToExpectedAsync(request.ExpectedVersion, context.CancellationToken),
            Reason = Mapping.ToReasonText(request.Reason),
        }, context.CancellationToken);
        views.Observe(outcome.ControlSeq);
        switch (outcome.Verdict)
        {
            case Verdict.PolicyChanged: throw new Refusal(Reason.PolicyVersionChanged);
            case Verdict.VersionTaken: throw VersionTaken(policy.Version);
        }
        // What was put, whatever was put since.
        var row = await AskAsync(reader => reader.ReadPolicyAsync(policy.Version, context.CancellationToken));
        return new PutPolicyResponse
        {
            PolicyVersion = Describe(row ?? throw new Refusal(Reason.Internal)),
            Revision = Mapping.ToRevision([outcome]),
        };
    }

    public override async Task<ListPolicyVersionsResponse> ListPolicyVersions(ListPolicyVersionsRequest request, ServerCallContext context)
    {
        if (request.PageSize is < 0 or > MostPage) throw Refusal.OfField(Reason.InvalidRequest, "page_size", $"page_size must be 1 to {MostPage}");
        Seq? before = request.PageToken.Length == 0 ? null
            : long.TryParse(request.PageToken, System.Globalization.NumberStyles.None, null, out var seq) && seq > 0 ? new Seq(seq)
            : throw new Refusal(Reason.PageTokenInvalid);
        var size = request.PageSize == 0 ? DefaultPage : request.PageSize;
        var rows = await AskAsync(reader => reader.ListPoliciesAsync(before, size, context.CancellationToken));
        var response = new ListPolicyVersionsResponse { PolicyVersions = { rows.Take(size).Select(Describe) } };
        if (rows.Count > size) response.NextPageToken = $"{rows[size - 1].Seq.Value}";
        else response.PolicyVersions.Add(DescribeConfigured(current: before is null && rows.Count == 0));
        return response;
    }

    public override async Task<CheckPolicyResponse> CheckPolicy(CheckPolicyRequest request, ServerCallContext context)
    {
        if (request.Grants.Count == 0) throw Refusal.OfField(Reason.InvalidRequest, "grants", "grants must hold at least one request");
        if (request.Grants.Count > MostGrants)
            throw new Refusal(Reason.BatchTooLarge, metadata: new Dictionary<string, string> { ["most"] = $"{MostGrants}" });
        var policy = request.JudgedByCase switch
        {
            CheckPolicyRequest.JudgedByOneofCase.Candidate => PolicyMapping.FromWire(request.Candidate),
            CheckPolicyRequest.JudgedByOneofCase.Version when request.Version.Length > 0 => PolicyMapping.FromWire((await FindAsync(request.Version, context.CancellationToken)).Policy),
            _ => (await policies.ReadAsync(context.CancellationToken)).Policy,
        };
        var now = clock.Now().ToUnixTimeSeconds();
        return new CheckPolicyResponse
        {
            Version = policy.Version,
            Results = { request.Grants.Select(grant => Mapping.ToCheckResult(Mapping.ToOrder(grant, context.GetCaller(), context.GetCorrelation()), policy, now)) },
        };
    }

    private async Task<string?> ToExpectedAsync(string expected, CancellationToken cancellationToken)
    {
        if (expected.Length == 0) return null;
        // The configured policy is current while the ledger has none; its name says nothing to the ledger.
        var current = await policies.ReadAsync(cancellationToken);
        return current.LedgerVersion is null && expected == current.Policy.Version ? "" : expected;
    }

    private async Task<PolicyVersion> FindAsync(string version, CancellationToken cancellationToken)
    {
        if (await AskAsync(reader => reader.ReadPolicyAsync(version, cancellationToken)) is { } row) return Describe(row);
        var current = await policies.ReadAsync(cancellationToken);
        return version == options.Policy.Version ? DescribeConfigured(current.LedgerVersion is null) : throw new Refusal(Reason.PolicyVersionNotFound);
    }

    private async Task<T> AskAsync<T>(Func<LedgerReader, Task<T>> ask)
    {
        try
        {
            return await ask(ledger.Reader);
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException)
        {
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
    }

    private PolicyVersion Describe(PolicyInForce policy) => policy.Row is { } row ? Describe(row) : DescribeConfigured(current: true);

    private static PolicyVersion Describe(PolicyRow row) => new()
    {
        Policy = PolicyMapping.ToWire(PolicyBook.Read(row)),
        PolicyHashB64U = Base64UrlText.Encode(row.PolicyHash),
        Current = row.Current,
        Seq = row.Seq.Value,
        PutBy = row.PutBy,
        PutAt = Timestamp.FromDateTimeOffset(row.PutAt),
        Reason = row.Reason ?? "",
    };

    private PolicyVersion DescribeConfigured(bool current) => new()
    {
        Policy = PolicyMapping.ToWire(options.Policy),
        PolicyHashB64U = Base64UrlText.Encode(SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(options.Policy.ToDocument()))),
        Current = current,
        Configured = true,
    };

    private static Refusal VersionTaken(string version) => new(
        Reason.PolicyInvalid, $"version '{version}' names another policy already; choose a new one", new Dictionary<string, string> { ["rule"] = "version" });
}
