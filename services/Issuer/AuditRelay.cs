using System.Text.Json;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Peers;
using ClawBureau.Hosting.Telemetry;
using ClawBureau.Ledger;
using ClawBureau.Ledger.Reading;
using ClawBureau.Protos.Audit.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Npgsql;

namespace ClawBureau.Issuer;

/// <summary>
/// Relays the ledger's events to the audit log, in order, from the log's own cursor: there is no second outbox, and what was
/// told twice stands once (DESIGN "Audit log"). One Issuer at a time does it (<see cref="RelayLease"/>); nothing waits for it.
/// </summary>
public sealed class AuditRelay : BackgroundService
{
    private const string Source = "ledger";
    private const int EventsAtOnce = 2048;
    private const int MostBytes = 768 * 1024;           // of 1 MiB that a process takes as one message
    private static readonly TimeSpan IdlePause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan AwayPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RenewEvery = RelayLease.Length / 3;

    private readonly LedgerReads _ledger;
    private readonly RelayLease _lease;
    private readonly TimeProvider _time;
    private readonly ILogger<AuditRelay> _log;
    private readonly PeerChannel? _channel;
    private readonly AuditService.AuditServiceClient? _sink;
    private bool _away;

    /// <exception cref="StartRefused">A certificate is missing or unusable.</exception>
    public AuditRelay(LedgerReads ledger, IssuerOptions options, ProcessOptions process, TimeProvider time, ILogger<AuditRelay> log, ILogger<PeerChannel> channelLog)
    {
        (_ledger, _lease, _time, _log) = (ledger, new RelayLease(ledger.Source), time, log);
        if (options.AuditSink is not { } address) return;
        _channel = PeerChannel.Create(address, new PeerOptions { CaFile = process.CaFile, ClientCertFile = process.CertificateFile, ClientKeyFile = process.KeyFile }, time, channelLog);
        _sink = new AuditService.AuditServiceClient(_channel.Calls);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (_sink is null)
        {
            Log.AuditNotConfigured(_log);
            return;
        }
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await RelayAsync(stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                break;
            }
            catch (Refusal refusal) when (refusal.Reason is Reason.AuditEventConflict or Reason.AuditSourceEpochMismatch or Reason.AuditEventTooLarge or Reason.InvalidRequest)
            {
                SuiteMetrics.AuditExports.Add(1, new KeyValuePair<string, object?>("result", "refused"));
                if (!_away) Log.AuditDisagrees(_log, refusal.Message);
                _away = true;
            }
            catch (Exception e) when (e is Refusal or NpgsqlException or TimeoutException or InvalidOperationException or OperationCanceledException)
            {
                if (e is Refusal) SuiteMetrics.AuditExports.Add(1, new KeyValuePair<string, object?>("result", "unavailable"));
                if (!_away) Log.AuditAway(_log, e.Message);
                _away = true;
            }
            await Task.Delay(AwayPause, _time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        await GiveUpAsync();
    }

    /// <summary>Waits for its turn, then relays for as long as it has it.</summary>
    private async Task RelayAsync(CancellationToken cancellationToken)
    {
        var turn = await _lease.TakeAsync(null, cancellationToken);
        SuiteMetrics.AuditLag.Record(turn.Head.Value - turn.Acked.Value);
        if (!turn.IsHeld)
        {
            _away = false;
            return;
        }
        var cursor = await ReadCursorAsync(turn, cancellationToken);
        Log.Relaying(_log, new Seq(cursor.Value + 1));
        turn = await RenewAsync(cursor, cancellationToken);
        _away = false;
        // The event at the cursor is told once more: were it not the one that the log has, this would be another ledger.
        var next = new Seq(Math.Max(0, cursor.Value - 1));
        long renewedAt = _time.GetTimestamp();
        var renewed = cursor;
        while (turn.IsHeld)
        {
            var events = await _ledger.Reader.ReadEventsAsync(next, EventsAtOnce, cancellationToken);
            if (events.Count > 0)
            {
                cursor = await TellAsync(turn.Epoch, events, cancellationToken);
                next = cursor;
            }
            else
            {
                await Task.Delay(IdlePause, _time, cancellationToken);
            }
            if (_time.GetElapsedTime(renewedAt) > RenewEvery || (events.Count == 0 && renewed != cursor))
            {
                turn = await RenewAsync(cursor, cancellationToken);
                (renewedAt, renewed) = (_time.GetTimestamp(), cursor);
            }
        }
    }

    private async Task<RelayTurn> RenewAsync(Seq cursor, CancellationToken cancellationToken)
    {
        var turn = await _lease.TakeAsync(cursor, cancellationToken);
        SuiteMetrics.AuditLag.Record(turn.Head.Value - turn.Acked.Value);
        return turn;
    }

    /// <exception cref="Refusal">AUDIT_UNAVAILABLE, PEER_UNAVAILABLE; AUDIT_SOURCE_EPOCH_MISMATCH: the log has what this ledger has not.</exception>
    private async Task<Seq> ReadCursorAsync(RelayTurn turn, CancellationToken cancellationToken)
    {
        var cursor = await _sink!.GetSourceCursorAsync(new GetSourceCursorRequest { Source = Source }, cancellationToken: cancellationToken);
        if (cursor.Epoch.Length == 0) return new Seq(0);
        if (cursor.Epoch != turn.Epoch.ToString())
            throw new Refusal(Reason.AuditSourceEpochMismatch, $"it has epoch {cursor.Epoch} up to {cursor.LastSeq}, this ledger has epoch {turn.Epoch}");
        if (cursor.LastSeq > turn.Head.Value)
            throw new Refusal(Reason.AuditSourceEpochMismatch, $"it has epoch {cursor.Epoch} up to {cursor.LastSeq}, this ledger ends with {turn.Head}");
        return new Seq(cursor.LastSeq);
    }

    /// <returns>The log's cursor after it.</returns>
    private async Task<Seq> TellAsync(Guid epoch, IReadOnlyList<EventRow> events, CancellationToken cancellationToken)
    {
        var request = new AppendEventsRequest { Source = Source, Epoch = epoch.ToString() };
        int bytes = 0;
        foreach (var row in events)
        {
            var e = ToEvent(row);
            bytes += e.CalculateSize() + 8;
            if (request.Events.Count > 0 && bytes > MostBytes) break;
            request.Events.Add(e);
        }
        var answer = await _sink!.AppendEventsAsync(request, cancellationToken: cancellationToken);
        SuiteMetrics.AuditExports.Add(1, new KeyValuePair<string, object?>("result", answer.AlreadyPresent == request.Events.Count ? "present" : "appended"));
        return new Seq(answer.LastSeq);
    }

    private static AuditEvent ToEvent(EventRow row) => new()
    {
        Seq = row.Seq.Value,
        Kind = EventKinds.NameOf(row.Kind),
        RecordedAt = Timestamp.FromDateTimeOffset(row.RecordedAt),
        Payload = ByteString.CopyFrom(row.Payload),
        Keys = new EventKeys
        {
            TokenHash = row.TokenHash is { } hash ? ByteString.CopyFrom(hash) : ByteString.Empty,
            Subject = row.Subject ?? "",
            OwnerDid = OwnerOf(row.Payload) ?? "",
            MissionId = row.Correlation.MissionId ?? "",
            RunId = row.Correlation.RunId ?? "",
            TraceId = row.Correlation.TraceId ?? "",
            CorrelationId = row.Correlation.CorrelationId ?? "",
        },
    };

    // Payloads name an owner in one member, at the top.
    private static string? OwnerOf(byte[] payload)
    {
        var reader = new Utf8JsonReader(payload);
        while (reader.Read())
        {
            if (reader.TokenType != JsonTokenType.PropertyName || reader.CurrentDepth != 1) continue;
            bool isOwner = reader.ValueTextEquals("owner_did"u8);
            reader.Read();
            if (isOwner) return reader.TokenType == JsonTokenType.String ? reader.GetString() : null;
            reader.Skip();
        }
        return null;
    }

    private async Task GiveUpAsync()
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        try
        {
            await _lease.GiveUpAsync(patience.Token);
        }
        catch (Exception e) when (e is NpgsqlException or OperationCanceledException or InvalidOperationException)
        {
            Log.AuditAway(_log, e.Message);     // the lease runs out by itself
        }
    }

    public override void Dispose()
    {
        _channel?.Dispose();
        base.Dispose();
    }
}
