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
    private static readonly TimeSpan MostCompareAtStart = TimeSpan.FromSeconds(2);
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

    /// <summary>
    /// Before anything is served: does the log have more than this ledger? Where it does not answer at once the Issuer starts all
    /// the same, because issuance does not wait for it.
    /// </summary>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        if (_sink is not null)
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            patience.CancelAfter(MostCompareAtStart);
            try
            {
                await ReadCursorAsync(patience.Token);
            }
            catch (Exception e) when (e is Refusal or NpgsqlException or TimeoutException or InvalidOperationException or OperationCanceledException)
            {
                cancellationToken.ThrowIfCancellationRequested();
                Log.AuditNotCompared(_log, e.Message);
            }
        }
        await base.StartAsync(cancellationToken);
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
                if (!_away) Log.AuditRefused(_log, refusal.Message);
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
        var (cursor, part) = await ReadCursorAsync(cancellationToken);
        Log.Relaying(_log, new Seq(cursor.Value + 1));
        turn = await RenewAsync(cursor, cancellationToken);
        _away = false;
        // The event at the cursor is told once more: were it not the one that the log has, this would be another ledger.
        var next = part.LastSeq is null ? new Seq(Math.Max(0, cursor.Value - 1)) : cursor;
        long renewedAt = _time.GetTimestamp();
        var renewed = cursor;
        while (turn.IsHeld)
        {
            if (part.Ends(cursor))
            {
                part = await NextPartAsync(part, cancellationToken);
                cursor = next = part.Previous!.Value.LastSeq;
            }
            var page = await _ledger.Reader.ReadEventsAsync(next, part.Most(next, EventsAtOnce), cancellationToken);
            if (page.Unsound is { } why) throw new Refusal(Reason.LedgerNeedsRecovery, why);
            if (part.LastSeq is null && page.Epoch != part.Epoch) return;       // recovered meanwhile: these are another epoch's
            if (part.LastSeq is null && page.Head < cursor)
            {
                await StopServingAsync(part.Epoch, $"the audit log has epoch {part.Epoch} up to {cursor}, this ledger ends with {page.Head}", cancellationToken);
            }
            var events = page.Events;
            if (events.Count > 0)
            {
                cursor = await TellAsync(part, events, cancellationToken);
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

    /// <summary>An epoch's events among the ledger's.</summary>
    /// <param name="Previous">The epoch it continues and where that ended; null for the first one.</param>
    /// <param name="LastSeq">Where recovery ended it; null while it goes on.</param>
    private sealed record Part(Guid Epoch, (Guid Epoch, Seq LastSeq)? Previous, Seq? LastSeq)
    {
        public bool Begins(Seq cursor) => Previous?.LastSeq == cursor;
        public bool Ends(Seq cursor) => LastSeq <= cursor;
        public int Most(Seq after, int most) => LastSeq is { } last ? (int)Math.Min(most, last.Value - after.Value) : most;
    }

    /// <summary>Where the log goes on, and in which epoch. Where it has what this ledger has not, nobody is served any more.</summary>
    /// <exception cref="Refusal">AUDIT_UNAVAILABLE, PEER_UNAVAILABLE; LEDGER_NEEDS_RECOVERY.</exception>
    private async Task<(Seq Cursor, Part Part)> ReadCursorAsync(CancellationToken cancellationToken)
    {
        var reader = _ledger.Reader;
        var cursor = await _sink!.GetSourceCursorAsync(new GetSourceCursorRequest { Source = Source }, cancellationToken: cancellationToken);
        var last = new Seq(cursor.LastSeq);
        // After the cursor: whatever the log had by then, the ledger had before.
        var ledger = await reader.ReadEventsAsync(last, 1, cancellationToken);
        if (ledger.Unsound is { } known) throw new Refusal(Reason.LedgerNeedsRecovery, known);
        if (cursor.Epoch.Length == 0) return (last, await PartOfAsync(await reader.FindFirstEpochAsync(cancellationToken), null, cancellationToken));
        var epoch = Guid.Parse(cursor.Epoch);
        string? why = epoch == ledger.Epoch
            ? last > ledger.Head ? $"the audit log has epoch {epoch} up to {last}, this ledger ends with {ledger.Head}" : null
            : await reader.ContinuesAsync(epoch, cancellationToken) ? null : $"the audit log has epoch {epoch} up to {last}, this ledger has epoch {ledger.Epoch}, which does not continue that";
        if (why is not null) await StopServingAsync(ledger.Epoch, why, cancellationToken);
        return (last, await PartOfAsync(epoch, null, cancellationToken));
    }

    /// <summary>The log has what this ledger has not: it was restored, failed over or rolled back, and nobody is served until recovery.</summary>
    private async Task StopServingAsync(Guid epoch, string why, CancellationToken cancellationToken)
    {
        await _ledger.Reader.MarkUnsoundAsync(epoch, why, cancellationToken);
        Log.AuditDisagrees(_log, why);
        throw new Refusal(Reason.LedgerNeedsRecovery, why);
    }

    private async Task<Part> PartOfAsync(Guid epoch, (Guid Epoch, Seq LastSeq)? previous, CancellationToken cancellationToken) =>
        new(epoch, previous, (await _ledger.Reader.FindSuccessorAsync(epoch, cancellationToken))?.PreviousLastSeq);

    private async Task<Part> NextPartAsync(Part part, CancellationToken cancellationToken)
    {
        var successor = await _ledger.Reader.FindSuccessorAsync(part.Epoch, cancellationToken)
            ?? throw new InvalidOperationException($"epoch {part.Epoch} has ended and has no successor");
        return await PartOfAsync(successor.Epoch, (part.Epoch, successor.PreviousLastSeq), cancellationToken);
    }

    /// <returns>The log's cursor after it.</returns>
    private async Task<Seq> TellAsync(Part part, IReadOnlyList<EventRow> events, CancellationToken cancellationToken)
    {
        var request = new AppendEventsRequest { Source = Source, Epoch = part.Epoch.ToString() };
        if (part.Previous is { } previous && part.Begins(new Seq(events[0].Seq.Value - 1)))
            (request.PreviousEpoch, request.PreviousLastSeq) = (previous.Epoch.ToString(), previous.LastSeq.Value);
        int bytes = 0;
        foreach (var row in events)
        {
            var e = ToEvent(row);
            bytes += e.CalculateSize() + 8;
            if (request.Events.Count > 0 && bytes > MostBytes) break;
            request.Events.Add(e);
        }
        AppendEventsResponse answer;
        try
        {
            answer = await _sink!.AppendEventsAsync(request, cancellationToken: cancellationToken);
        }
        catch (Refusal refusal) when (refusal.Reason == Reason.AuditEventConflict && part.LastSeq is null)
        {
            SuiteMetrics.AuditExports.Add(1, new KeyValuePair<string, object?>("result", "refused"));
            await StopServingAsync(part.Epoch, "the audit log has another event under a number of this ledger", cancellationToken);
            throw;
        }
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
            OwnerDid = row.RevokedOf ?? OwnerOf(row.Payload) ?? "",
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
