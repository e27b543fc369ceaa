using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using ClawBureau.Testing;
using Npgsql;

namespace ClawBureau.Introspector.Tests;

/// <summary>
/// A wire to PostgreSQL whose answers a test can hold back: requests and connections are taken, nothing is said. It also counts
/// how many requests are under way at one time.
/// </summary>
internal sealed class HeldWire : IAsyncDisposable
{
    private readonly EndPoint _server;
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _end = new();
    private readonly Lock _lock = new();
    private readonly List<Task> _running = [];      // locked
    private TaskCompletionSource? _gate;            // locked; null: answers pass
    private TaskCompletionSource _held = NewSignal();       // locked: rows wait at the gate
    private int _underWay;                          // locked
    private int _mostUnderWay;                      // locked

    public HeldWire(string connectionString)
    {
        var builder = new NpgsqlConnectionStringBuilder(connectionString);
        _server = builder.Host!.StartsWith('/')
            ? new UnixDomainSocketEndPoint(Path.Combine(builder.Host, $".s.PGSQL.{builder.Port}"))
            : new DnsEndPoint(builder.Host, builder.Port);
        _listener.Start();
        builder.Host = "127.0.0.1";
        builder.Port = ((IPEndPoint)_listener.LocalEndpoint).Port;
        ConnectionString = builder.ConnectionString;
        _running.Add(AcceptAsync());
    }

    /// <summary>The same database through this wire.</summary>
    public string ConnectionString { get; }

    /// <summary>Most requests that were under way at one time since the last <see cref="CountAnew"/>.</summary>
    public int MostUnderWay
    {
        get { lock (_lock) return _mostUnderWay; }
    }

    public void CountAnew()
    {
        lock (_lock) _mostUnderWay = _underWay;
    }

    /// <summary>From now on no rows pass; connections are made all the same.</summary>
    /// <returns>Ends when rows wait: the server has looked.</returns>
    public Task Hold()
    {
        lock (_lock)
        {
            _gate = NewSignal();
            _held = NewSignal();
            return _held.Task;
        }
    }

    public void Release()
    {
        TaskCompletionSource? gate;
        lock (_lock) (gate, _gate) = (_gate, null);
        gate?.SetResult();
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            Socket client;
            try
            {
                client = await _listener.AcceptSocketAsync(_end.Token);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
            {
                return;
            }
            lock (_lock) _running.Add(RunAsync(client));
        }
    }

    private async Task RunAsync(Socket client)
    {
        using (client)
        using (var server = _server is UnixDomainSocketEndPoint ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) : new Socket(SocketType.Stream, ProtocolType.Tcp))
        {
            var state = new Connection();
            try
            {
                await server.ConnectAsync(_server, _end.Token);
                var there = PumpAsync(client, server, request =>
                {
                    if (request.Span[0] != 'X') SetUnderWay(state, true);       // Terminate has no answer
                    return Task.CompletedTask;
                });
                var back = PumpAsync(server, client, async answer =>
                {
                    // ReadyForQuery, the last message of an answer: 'Z', length 5, status.
                    if (answer.Length >= 6 && answer.Span[^6..^1].SequenceEqual("Z\0\0\0\x05"u8)) SetUnderWay(state, false);
                    if (HasRow(answer.Span)) await PassGateAsync();
                });
                await Task.WhenAny(there, back);
                client.Close();
                server.Close();
                await Task.WhenAll(there, back).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // The server refused it, or the test is over.
            }
            SetUnderWay(state, false);
        }
    }

    private async Task PumpAsync(Socket from, Socket to, Func<ReadOnlyMemory<byte>, Task> passing)
    {
        var buffer = new byte[65536];
        try
        {
            while (await from.ReceiveAsync(buffer, _end.Token) is > 0 and var read)
            {
                await passing(buffer.AsMemory(0, read));
                await to.SendAsync(buffer.AsMemory(0, read), _end.Token);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // One side is gone; the other is closed with it.
        }
    }

    /// <summary>Whether a DataRow is among these messages: a type, a length that counts itself, and as many bytes.</summary>
    private static bool HasRow(ReadOnlySpan<byte> messages)
    {
        while (messages.Length >= 5)
        {
            if (messages[0] == 'D') return true;
            int length = BinaryPrimitives.ReadInt32BigEndian(messages[1..]);
            if (length < 4 || length >= messages.Length) return false;
            messages = messages[(length + 1)..];
        }
        return false;
    }

    private async Task PassGateAsync()
    {
        Task gate;
        lock (_lock)
        {
            if (_gate is null) return;
            gate = _gate.Task;
            _held.TrySetResult();
        }
        await gate.WaitAsync(_end.Token);
    }

    private void SetUnderWay(Connection connection, bool underWay)
    {
        lock (_lock)
        {
            if (connection.IsUnderWay == underWay) return;
            connection.IsUnderWay = underWay;
            _underWay += underWay ? 1 : -1;
            _mostUnderWay = Math.Max(_mostUnderWay, _underWay);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _listener.Stop();
        Task[] running;
        lock (_lock) running = [.. _running];
        await Task.WhenAll(running).WaitAsync(TimeSpan.FromSeconds(10));
        _end.Dispose();
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private sealed class Connection
    {
        public bool IsUnderWay { get; set; }
    }
}

/// <summary>Wires for a database whose name is known only once it exists.</summary>
internal sealed class LateWire : IAsyncDisposable
{
    private HeldWire? _wire;

    public HeldWire Held => _wire ?? throw new InvalidOperationException("nothing goes through this wire yet");

    public string Through(string connectionString) => (_wire = new HeldWire(connectionString)).ConnectionString;

    public async ValueTask DisposeAsync()
    {
        if (_wire is not null) await _wire.DisposeAsync();
    }
}

/// <inheritdoc cref="LateWire"/>
internal sealed class LateProxy : IAsyncDisposable
{
    private PostgresProxy? _wire;

    public PostgresProxy Wire => _wire ?? throw new InvalidOperationException("nothing goes through this wire yet");

    public string Through(string connectionString) => (_wire = new PostgresProxy(connectionString)).ConnectionString;

    public async ValueTask DisposeAsync()
    {
        if (_wire is not null) await _wire.DisposeAsync();
    }
}
