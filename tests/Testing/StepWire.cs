using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Npgsql;

namespace ClawBureau.Testing;

/// <summary>How far a batch has come when its process is stopped.</summary>
public enum BatchStep
{
    /// <summary>Nothing of it has reached the server.</summary>
    NotSent,

    /// <summary>The server has the head locked for it and waits for the next message.</summary>
    HeadTaken,

    /// <summary>All its statements have run, and the server waits to be told to commit.</summary>
    NotCommitted,

    /// <summary>The server has all of it, and nobody reads what it answers.</summary>
    AnswerUnread,
}

/// <summary>
/// A wire between a process and PostgreSQL on which a batch can be stopped at a step, the way it stays there when the process is stopped:
/// what was not sent is not sent, what is answered is not read. (Frontend and backend messages: PostgreSQL documentation, chapter 55.)
/// </summary>
public sealed class StepWire : IAsyncDisposable
{
    private const int SslRequest = 80877103, GssRequest = 80877104;     // these and the startup message carry no type
    private const int LeastStatements = 3;                              // of a batch: head, announcement, acts
    private readonly EndPoint _server;
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _end = new();
    private readonly Lock _lock = new();
    private readonly List<Task> _running = [];          // locked
    private Stop? _armed;                               // locked: for the next batch, whichever connection it is on
    private long _longestAnswer;

    /// <param name="connectionString">Of the database; <see cref="ConnectionString"/> is the same one through this wire.</param>
    public StepWire(string connectionString)
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

    public string ConnectionString { get; }

    /// <summary>Bytes of the longest answer to a batch so far.</summary>
    public long LongestAnswer => Volatile.Read(ref _longestAnswer);

    /// <summary>The next batch stands at this step.</summary>
    /// <returns>Ends when it does; what it returns lets the batch go on.</returns>
    public Task<Action> StopAt(BatchStep step)
    {
        var stop = new Stop(step);
        lock (_lock) _armed = stop;
        return stop.Reached.Task;
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
            var connection = new Connection(client, server);
            try
            {
                await server.ConnectAsync(_server, _end.Token);
                var (there, back) = (RequestsAsync(connection), AnswersAsync(connection));
                await Task.WhenAny(there, back);
                client.Close();
                server.Close();
                await Task.WhenAll(there, back);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
            {
                // One side is gone; the other is closed with it.
            }
        }
    }

    /// <summary>Passes on what was asked for as a whole, up to the message that ends it.</summary>
    private async Task RequestsAsync(Connection connection)
    {
        var (buffer, filled, typed) = (new byte[1 << 16], 0, false);
        var ends = new List<int>();             // where the messages read so far end
        int statements = 0, firstStatement = 0;
        while (true)
        {
            int start = ends.Count == 0 ? 0 : ends[^1];
            int header = typed ? 1 : 0;
            int length = filled - start >= header + 4 ? header + BinaryPrimitives.ReadInt32BigEndian(buffer.AsSpan(start + header)) : 0;
            if (length == 0 || filled - start < length)
            {
                if (buffer.Length - filled < 1 << 15) Array.Resize(ref buffer, buffer.Length * 2);
                int read = await connection.Client.ReceiveAsync(buffer.AsMemory(filled), _end.Token);
                if (read == 0) return;
                filled += read;
                continue;
            }
            ends.Add(start + length);
            bool isLast = true;
            if (!typed)
            {
                typed = BinaryPrimitives.ReadInt32BigEndian(buffer.AsSpan(start + 4)) is not (SslRequest or GssRequest);
            }
            else
            {
                char type = (char)buffer[start];
                if (type == 'E' && statements++ == 0) firstStatement = ends.Count;
                isLast = type is not ('P' or 'B' or 'D' or 'E' or 'C');
            }
            if (!isLast) continue;

            await PassAsync(connection, buffer.AsMemory(0, ends[^1]), statements >= LeastStatements ? ends[firstStatement - 1] : 0, ends.Count > 1 ? ends[^2] : 0, statements >= LeastStatements);
            buffer.AsSpan(ends[^1]..filled).CopyTo(buffer);
            filled -= ends[^1];
            ends.Clear();
            statements = 0;
        }
    }

    private async Task PassAsync(Connection connection, ReadOnlyMemory<byte> request, int headEnd, int commitStart, bool isBatch)
    {
        Stop? stop = null;
        if (isBatch)
        {
            connection.BeginAnswer();
            lock (_lock) (stop, _armed) = (_armed, null);
        }
        int first = stop?.Step switch
        {
            BatchStep.NotSent => 0,
            BatchStep.HeadTaken => headEnd,
            BatchStep.NotCommitted => commitStart,
            _ => request.Length,
        };
        if (stop is { Step: BatchStep.AnswerUnread }) connection.Reading = stop.Released.Task;
        await SendAsync(request[..first]);
        if (stop is null) return;
        stop.Reached.SetResult(() => stop.Released.TrySetResult());
        await stop.Released.Task.WaitAsync(_end.Token);
        await SendAsync(request[first..]);

        async Task SendAsync(ReadOnlyMemory<byte> some)
        {
            while (some.Length > 0) some = some[await connection.Server.SendAsync(some, _end.Token)..];
        }
    }

    private async Task AnswersAsync(Connection connection)
    {
        var buffer = new byte[1 << 16];
        while (true)
        {
            await connection.Reading.WaitAsync(_end.Token);
            int read = await connection.Server.ReceiveAsync(buffer, _end.Token);
            if (read == 0) return;
            await connection.Reading.WaitAsync(_end.Token);
            long answer = connection.AddAnswer(read);
            if (answer > LongestAnswer) Volatile.Write(ref _longestAnswer, answer);
            for (var some = buffer.AsMemory(0, read); some.Length > 0;) some = some[await connection.Client.SendAsync(some, _end.Token)..];
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

    private sealed record Stop(BatchStep Step)
    {
        public TaskCompletionSource<Action> Reached { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public TaskCompletionSource Released { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed class Connection(Socket client, Socket server)
    {
        private long _answer = -1;              // bytes of the answer to the batch under way; -1: what is asked is none

        public Socket Client { get; } = client;
        public Socket Server { get; } = server;

        /// <summary>Ended while answers are read.</summary>
        public Task Reading { get; set; } = Task.CompletedTask;

        public void BeginAnswer() => Volatile.Write(ref _answer, 0);

        public long AddAnswer(int bytes) => Volatile.Read(ref _answer) is >= 0 ? Interlocked.Add(ref _answer, bytes) : 0;
    }
}
