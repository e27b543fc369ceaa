using System.Buffers;
using System.Diagnostics;
using ClawBureau.Tokens;
using Grpc.Core;
using Microsoft.AspNetCore.Http;

namespace ClawBureau.Hosting.Calls;

/// <summary>What ties a call to the caller's own records, and to ours.</summary>
/// <param name="TraceId">
/// Metadata <c>x-trace-id</c>, else the trace id of W3C <c>traceparent</c>, else that of the trace that is recorded, else <c>trc_UUID</c>, made of the call id.
/// </param>
/// <param name="CorrelationId">Metadata <c>x-correlation-id</c>, if any.</param>
/// <param name="CallId">Of this one call, a UUID as 32 hex digits, made here; names its log entries.</param>
public sealed record CallCorrelation(string TraceId, string? CorrelationId, string CallId)
{
    public const int MaxLength = 128;

    private static readonly SearchValues<char> LowerHex = SearchValues.Create("0123456789abcdef");

    public const string TraceHeader = "x-trace-id";
    internal const string CorrelationHeader = "x-correlation-id";
    internal const string CallHeader = "x-call-id";

    /// <summary>Hands the caller's ids on to a call that is made on its behalf.</summary>
    public void AddTo(Metadata headers)
    {
        headers.Add(TraceHeader, TraceId);
        if (CorrelationId is not null) headers.Add(CorrelationHeader, CorrelationId);
    }

    /// <param name="callId">A UUID as 32 hex digits.</param>
    /// <exception cref="Refusal">
    /// An id is too long, or not printable ASCII: it is written to the ledger as it stands and echoed, so it is never cut or replaced.
    /// </exception>
    public static CallCorrelation Of(IHeaderDictionary headers, string callId)
    {
        var recorded = Activity.Current is { Recorded: true } call ? call : null;
        var traceId = IdIn(headers, TraceHeader) ?? TraceIdOf(headers.TraceParent.ToString()) ?? recorded?.TraceId.ToString()
            ?? $"trc_{Guid.ParseExact(callId, "N")}";        // this call begins the trace; another random number would be another system call
        recorded?.SetTag("claw.trace_id", traceId);     // by which the ledger's acts are found from the trace, and it from them
        return new(traceId, IdIn(headers, CorrelationHeader), callId);
    }

    private static string? IdIn(IHeaderDictionary headers, string name)
    {
        if (!headers.TryGetValue(name, out var values)) return null;
        var id = values.ToString().Trim();
        if (id.Length > MaxLength) throw Refusal.OfField(Reason.FieldTooLong, name, $"{name} is longer than {MaxLength} characters");
        if (id.AsSpan().ContainsAnyExceptInRange(' ', '~'))
            throw Refusal.OfField(Reason.TextNotStorable, name, $"{name} holds other characters than printable ASCII");
        return id.Length > 0 ? id : null;
    }

    // https://www.w3.org/TR/trace-context/#traceparent-header: 00-<32 hex>-<16 hex>-<2 hex>; what does not fit is as if not sent.
    private static string? TraceIdOf(string traceParent)
    {
        if (traceParent.Length < 55 || traceParent[2] != '-' || traceParent[35] != '-' || traceParent[52] != '-') return null;
        var traceId = traceParent.AsSpan(3, 32);
        return traceId.ContainsAnyExcept(LowerHex) || !traceId.ContainsAnyExcept('0') ? null : traceId.ToString();
    }
}
