using System.Collections.Frozen;

namespace ClawBureau.Hosting.Calls;

/// <summary>
/// RPCs that the protos promise and no service fills yet, with the issue that will. They answer UNIMPLEMENTED with
/// RPC_NOT_AVAILABLE to everybody. The list only shrinks.
/// </summary>
public static class LaterRpcs
{
    public static IReadOnlyDictionary<string, int> Issues { get; } = new Dictionary<string, int>(StringComparer.Ordinal)
    {
        ["/clawbureau.audit.v1.AuditService/GetCheckpoint"] = 8,
        ["/clawbureau.audit.v1.AuditService/GetInclusionProof"] = 8,
        ["/clawbureau.audit.v1.AuditService/GetConsistencyProof"] = 8,
        ["/clawbureau.audit.v1.AuditService/ExportBundle"] = 8,
    }.ToFrozenDictionary(StringComparer.Ordinal);
}
