using System.Buffers.Binary;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Google.Protobuf;

namespace ClawBureau.Load;

/// <summary>
/// The least of HTTP/2 (RFC 9113) and gRPC that it takes to open streams and see what arrives on them and when. A client library spends more
/// on a frame than the server that is measured; here a frame is looked at where it lies.
/// </summary>
internal sealed class RawConnection : IDisposable
{
    public const byte Data = 0, Headers = 1, ResetStream = 3, GoAway = 7;
    public const byte EndStream = 1;
    private const byte Settings = 4, Ping = 6, WindowUpdate = 8, Acknowledge = 1, EndHeaders = 4;
    private const int HeaderLength = 9, LargestWindow = int.MaxValue, FirstWindow = 65_535;
    private static readonly byte[] Preface = Encoding.ASCII.GetBytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

    private readonly SslStream _wire;
    private readonly byte[] _headers;
    private byte[] _buffer = new byte[16 * 1024];
    private int _start, _end;
    private int _nextStream = 1;

    private RawConnection(SslStream wire, byte[] headers) => (_wire, _headers) = (wire, headers);

    /// <param name="rpc">What its streams call, such as <c>/clawbureau.feed.v1.FeedService/WatchRevocations</c>.</param>
    public static async Task<RawConnection> ConnectAsync(Uri address, string rpc, string caFile, string adminKey, CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(address.Host, address.Port, cancellationToken);
        var wire = new SslStream(new NetworkStream(socket, ownsSocket: true));
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.ImportFromPemFile(caFile);
        await wire.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions { TargetHost = address.Host, ApplicationProtocols = [SslApplicationProtocol.Http2], CertificateChainPolicy = policy }, cancellationToken);
        var connection = new RawConnection(wire, ToHeaders(
            (":method", "POST"), (":scheme", "https"), (":path", rpc), (":authority", address.Authority), ("te", "trailers"), ("content-type", "application/grpc"), ("authorization", "Bearer " + adminKey)));
        var hello = new List<byte>(Preface);
        // As much as ever comes may come: nothing here has to be given back (INITIAL_WINDOW_SIZE is setting 4).
        AddFrame(hello, Settings, 0, 0, [0, 4, 0x7f, 0xff, 0xff, 0xff]);
        AddFrame(hello, WindowUpdate, 0, 0, ToBytes(LargestWindow - FirstWindow));
        await wire.WriteAsync(hello.ToArray(), cancellationToken);
        return connection;
    }

    /// <summary>Calls once, with one message.</summary>
    /// <param name="ends">No further message follows.</param>
    /// <returns>The stream.</returns>
    public async Task<int> CallAsync(IMessage message, bool ends, CancellationToken cancellationToken)
    {
        var (stream, request) = ToCall(message, ends);
        await _wire.WriteAsync(request, cancellationToken);
        return stream;
    }

    /// <summary>The same, blocking this thread.</summary>
    public int Call(IMessage message)
    {
        var (stream, request) = ToCall(message, ends: true);
        _wire.Write(request);
        return stream;
    }

    /// <summary>The next frame that is about a stream, or that the connection ends.</summary>
    public async ValueTask<Frame> ReadAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (TryTake(out var frame))
            {
                if (AnswerTo(frame) is { } answer) await _wire.WriteAsync(answer, cancellationToken);
                else if (frame.Type is Data or Headers or ResetStream or GoAway) return frame;
                continue;
            }
            MakeRoom();
            int read = await _wire.ReadAsync(_buffer.AsMemory(_end), cancellationToken);
            if (read == 0) throw new IOException("the connection was closed");
            _end += read;
        }
    }

    /// <summary>The same, blocking this thread: what it tells of the moment does not depend on who else is waiting for a thread.</summary>
    public Frame Read()
    {
        while (true)
        {
            if (TryTake(out var frame))
            {
                if (AnswerTo(frame) is { } answer) _wire.Write(answer);
                else if (frame.Type is Data or Headers or ResetStream or GoAway) return frame;
                continue;
            }
            MakeRoom();
            int read = _wire.Read(_buffer.AsSpan(_end));
            if (read == 0) throw new IOException("the connection was closed");
            _end += read;
        }
    }

    public void Dispose() => _wire.Dispose();

    private (int Stream, byte[] Request) ToCall(IMessage message, bool ends)
    {
        int stream = _nextStream;
        _nextStream += 2;
        var body = new byte[5 + message.CalculateSize()];
        BinaryPrimitives.WriteInt32BigEndian(body.AsSpan(1), body.Length - 5);
        message.WriteTo(body.AsSpan(5));
        var request = new List<byte>(_headers.Length + body.Length + 2 * HeaderLength);
        AddFrame(request, Headers, EndHeaders, stream, _headers);
        AddFrame(request, Data, ends ? EndStream : (byte)0, stream, body);
        return (stream, request.ToArray());
    }

    private bool TryTake(out Frame frame)
    {
        frame = default;
        if (_end - _start < HeaderLength) return false;
        var header = _buffer.AsSpan(_start);
        int length = header[0] << 16 | header[1] << 8 | header[2];
        if (_end - _start < HeaderLength + length) return false;
        frame = new Frame(header[3], header[4], BinaryPrimitives.ReadInt32BigEndian(header[5..]) & int.MaxValue, _buffer.AsMemory(_start + HeaderLength, length));
        _start += HeaderLength + length;
        return true;
    }

    private static byte[]? AnswerTo(Frame frame)
    {
        if (frame.Type is not (Settings or Ping) || (frame.Flags & Acknowledge) != 0) return null;
        var answer = new List<byte>();
        AddFrame(answer, frame.Type, Acknowledge, 0, frame.Type == Ping ? frame.Payload.Span : []);
        return answer.ToArray();
    }

    private void MakeRoom()
    {
        _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
        (_start, _end) = (0, _end - _start);
        if (_end == _buffer.Length) Array.Resize(ref _buffer, _buffer.Length * 2);
    }

    private static void AddFrame(List<byte> to, byte type, byte flags, int stream, ReadOnlySpan<byte> payload)
    {
        to.AddRange([(byte)(payload.Length >> 16), (byte)(payload.Length >> 8), (byte)payload.Length, type, flags]);
        to.AddRange(ToBytes(stream));
        to.AddRange(payload);
    }

    private static byte[] ToBytes(int value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, value);
        return bytes;
    }

    // RFC 7541, 6.2.2: literals without indexing, names in full, no Huffman code.
    private static byte[] ToHeaders(params (string Name, string Value)[] headers)
    {
        var bytes = new List<byte>();
        foreach (var (name, value) in headers)
        {
            bytes.Add(0);
            AddText(name);
            AddText(value);
        }
        return bytes.ToArray();

        void AddText(string text)
        {
            // 5.1: an integer with a prefix of 7 bits.
            int length = text.Length;
            if (length < 127) bytes.Add((byte)length);
            else
            {
                bytes.Add(127);
                for (length -= 127; length >= 128; length >>= 7) bytes.Add((byte)(length & 127 | 128));
                bytes.Add((byte)length);
            }
            bytes.AddRange(Encoding.ASCII.GetBytes(text));
        }
    }

    /// <param name="Payload">Good until the next read.</param>
    public readonly record struct Frame(byte Type, byte Flags, int Stream, ReadOnlyMemory<byte> Payload)
    {
        /// <summary>The message at the start of what is left of the payload, and what follows it.</summary>
        public static ReadOnlySpan<byte> TakeMessage(ref ReadOnlySpan<byte> left)
        {
            if (left.Length < 5) throw new InvalidOperationException("a message is cut into two frames");
            int length = BinaryPrimitives.ReadInt32BigEndian(left[1..]);
            if (left.Length < 5 + length) throw new InvalidOperationException("a message is cut into two frames");
            var message = left.Slice(5, length);
            left = left[(5 + length)..];
            return message;
        }
    }
}
