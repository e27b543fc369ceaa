using System.Net;
using System.Net.Sockets;
using Npgsql;

namespace ClawBureau.Testing;

/// <summary>
/// A wire between a process and PostgreSQL that a test can cut: refuse connections, or let a request through and lose its answer.
/// </summary>
public sealed class PostgresProxy : IAsyncDisposable
{
    private readonly EndPoint _server;
    private readonly string _connectionString;
    private readonly CancellationTokenSource _end = new();
    private readonly List<Socket> _open = [];       // locked by itself
    private TcpListener _listener;
    private Task _accepting;
    private volatile TaskCompletionSource? _losing;
    private int _answersToPass;
    private volatile bool _garbling;

    public PostgresProxy(string connectionString)
    {
        var builder = new NpgsqlConnectionStringBuilder(connectionString);
        _server = builder.Host!.StartsWith('/')
            ? new UnixDomainSocketEndPoint(Path.Combine(builder.Host, $".s.PGSQL.{builder.Port}"))
            : new DnsEndPoint(builder.Host, builder.Port);
        _listener = new TcpListener(IPAddress.Loopback, 0);
        _listener.Start();
        Port = ((IPEndPoint)_listener.LocalEndpoint).Port;
        builder.Host = "127.0.0.1";
        builder.Port = Port;
        _connectionString = builder.ConnectionString;
        _accepting = AcceptAsync(_listener);
    }

    public int Port { get; }

    /// <summary>The same database through this wire.</summary>
    public string ConnectionString => _connectionString;

    /// <summary>Cuts every connection and refuses new ones until <see cref="Mend"/>.</summary>
    public async Task CutAsync()
    {
        _listener.Stop();
        await _accepting;
        CloseAll();
    }

    public void Mend()
    {
        _listener = new TcpListener(IPAddress.Loopback, Port);
        _listener.Start();
        _accepting = AcceptAsync(_listener);
    }

    /// <summary>One completed answer of the server (up to its ReadyForQuery) is swallowed and its connection cut; the task ends then.</summary>
    /// <param name="passing">How many answers get through before.</param>
    public Task LoseAnswer(int passing)
    {
        _answersToPass = passing;
        var losing = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _losing = losing;
        return losing.Task;
    }

    /// <summary>The next answer of the server arrives as something no driver understands.</summary>
    public void GarbleNextAnswer() => _garbling = true;

    private async Task AcceptAsync(TcpListener listener)
    {
        while (true)
        {
            Socket client;
            try
            {
                client = await listener.AcceptSocketAsync(_end.Token);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
            {
                return;
            }
            var server = _server is UnixDomainSocketEndPoint ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) : new Socket(SocketType.Stream, ProtocolType.Tcp);
            await server.ConnectAsync(_server);
            lock (_open) _open.AddRange([client, server]);
            _ = PumpAsync(client, server, mayLose: false);
            _ = PumpAsync(server, client, mayLose: true);
        }
    }

    private async Task PumpAsync(Socket from, Socket to, bool mayLose)
    {
        var buffer = new byte[65536];
        try
        {
            while (true)
            {
                int read = await from.ReceiveAsync(buffer, _end.Token);
                if (read == 0) break;
                if (mayLose && _garbling)
                {
                    _garbling = false;
                    buffer.AsSpan(0, read).Fill((byte)'D');         // a data row, and not a short one
                }
                if (mayLose && _losing is { } losing)
                {
                    // ReadyForQuery, the last message of an answer: 'Z', length 5, status.
                    bool complete = read >= 6 && buffer.AsSpan(read - 6, 5).SequenceEqual("Z\0\0\0\x05"u8);
                    if (_answersToPass > 0)
                    {
                        if (complete) _answersToPass--;
                        await to.SendAsync(buffer.AsMemory(0, read), _end.Token);
                        continue;
                    }
                    if (complete)
                    {
                        _losing = null;
                        from.Dispose();
                        to.Dispose();
                        losing.SetResult();
                        return;
                    }
                    continue;
                }
                await to.SendAsync(buffer.AsMemory(0, read), _end.Token);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // One side is gone; the other is closed with it.
        }
        from.Dispose();
        to.Dispose();
    }

    private void CloseAll()
    {
        lock (_open)
        {
            foreach (var socket in _open) socket.Dispose();
            _open.Clear();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _listener.Stop();
        await _accepting;
        CloseAll();
        _end.Dispose();
    }
}
