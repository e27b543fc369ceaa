using System.CommandLine;
using System.Security.Cryptography.X509Certificates;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Peers;
using ClawBureau.Stack;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Cli;

/// <summary>
/// Which stack a verb speaks to: options, else the environment, else the stack.json of a state folder that `claw up` runs in.
/// </summary>
internal sealed class Connection
{
    private readonly Option<string?> _state;
    private readonly Option<string?> _address;
    private readonly Option<string?> _ca;
    private readonly Option<string?> _key;
    private readonly Connection? _beside;
    private readonly string _service;

    /// <param name="service">Its name, such as issuer or audit-sink.</param>
    /// <param name="beside">A second service of the same verb: state, CA and key are those of the first.</param>
    public Connection(string service, Connection? beside = null)
    {
        (_service, _beside) = (service, beside);
        _state = beside?._state ?? new("--state") { Description = "State folder of a running local stack (default .claw/state)." };
        _ca = beside?._ca ?? new("--ca-file") { Description = "PEM of the CA that signed the service's certificate (CLAW_CA_FILE)." };
        _key = beside?._key ?? new("--admin-key-file") { Description = "File with the admin key (CLAW_ADMIN_KEY_FILE)." };
        _address = new Option<string?>("--" + service) { Description = $"Address of the {service}, https://host:port; several with commas between ({Variable})." };
    }

    private string Variable => "CLAW_" + Member.ToUpperInvariant();

    private string Member => _service.Replace('-', '_');

    public static string DefaultStateFolder => Path.Combine(".claw", "state");

    public void AddTo(Command command)
    {
        if (_beside is not null)
        {
            command.Options.Add(_address);
            return;
        }
        command.Options.Add(_state);
        command.Options.Add(_address);
        command.Options.Add(_ca);
        command.Options.Add(_key);
    }

    /// <summary>What an HTTP service answers to a GET without a credential.</summary>
    /// <returns>Null where nothing says where the service is.</returns>
    /// <exception cref="UsageException">What is said cannot be used.</exception>
    /// <exception cref="UnreachableException">It does not answer, or not with 200.</exception>
    public async Task<byte[]?> GetAsync(ParseResult parsed, string path, CancellationToken cancellationToken)
    {
        var described = ReadDescription(parsed.GetValue(_state) ?? DefaultStateFolder);
        var address = Given(parsed)?.All[0] ?? (described?.Services.TryGetValue(Member, out var processes) == true ? processes[0].Url : null);
        if (address is null) return null;
        using var handler = new SocketsHttpHandler();
        if ((parsed.GetValue(_ca) ?? Environment.GetEnvironmentVariable("CLAW_CA_FILE") ?? described?.CaFile) is { } ca)
        {
            if (!File.Exists(ca)) throw new UsageException($"The CA file {ca} does not exist.");
            var anchor = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            anchor.CustomTrustStore.Add(X509CertificateLoader.LoadCertificateFromFile(ca));
            handler.SslOptions.CertificateChainPolicy = anchor;
        }
        using var client = new HttpClient(handler) { BaseAddress = address, Timeout = TimeSpan.FromSeconds(10) };
        try
        {
            return await client.GetByteArrayAsync(path, cancellationToken);
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !cancellationToken.IsCancellationRequested)
        {
            throw new UnreachableException($"the {_service} at {address} does not answer {path} ({e.Message.TrimEnd('.')})", e);
        }
    }

    /// <summary>Calls the service.</summary>
    /// <exception cref="UsageException">Nothing says where the service is, or what is said cannot be used.</exception>
    /// <exception cref="UnreachableException">It does not answer.</exception>
    public Task<T> CallAsync<T>(ParseResult parsed, Func<PeerChannel, Task<T>> call)
    {
        var (addresses, options) = Resolve(parsed);
        return CallAsync(addresses, options, call);
    }

    /// <summary>Calls each of the service's replicas, all at one time.</summary>
    /// <returns>Per address its answer, or why there is none.</returns>
    /// <exception cref="UsageException">Nothing says where the service is, or what is said cannot be used.</exception>
    public async Task<IReadOnlyList<(Uri Address, T? Answer, Exception? Failure)>> CallEachAsync<T>(ParseResult parsed, Func<PeerChannel, Task<T>> call)
        where T : class
    {
        var (addresses, options) = Resolve(parsed);
        return await Task.WhenAll(addresses.All.Select(async address =>
        {
            try
            {
                return (address, await CallAsync(new PeerAddresses(address), options, call), (Exception?)null);
            }
            catch (Exception e) when (e is Refusal or UnreachableException or RpcException)
            {
                return (address, (T?)null, (Exception?)e);
            }
        }));
    }

    private (PeerAddresses Addresses, PeerOptions Options) Resolve(ParseResult parsed)
    {
        var described = ReadDescription(parsed.GetValue(_state) ?? DefaultStateFolder);
        var addresses = Given(parsed) ?? (described?.Services.TryGetValue(Member, out var processes) == true ? new PeerAddresses([.. processes.Select(p => p.Url)]) : null)
            ?? throw new UsageException($"No {_service} to speak to: start a stack with `claw up`, or say --{_service} https://host:port ({Variable}).");
        var options = new PeerOptions
        {
            CaFile = parsed.GetValue(_ca) ?? Environment.GetEnvironmentVariable("CLAW_CA_FILE") ?? described?.CaFile,
            AdminKey = ReadKey(parsed.GetValue(_key) ?? Environment.GetEnvironmentVariable("CLAW_ADMIN_KEY_FILE") ?? described?.AdminKeyFile),
        };
        if (options.CaFile is null && addresses.All[0].Scheme == Uri.UriSchemeHttps) throw new UsageException("Say which CA signed the service's certificate: --ca-file (CLAW_CA_FILE).");
        return (addresses, options);
    }

    private async Task<T> CallAsync<T>(PeerAddresses addresses, PeerOptions options, Func<PeerChannel, Task<T>> call)
    {
        using var channel = Create(addresses, options);
        try
        {
            return await call(channel);
        }
        catch (Refusal refusal) when (refusal.InnerException is RpcException { Status.DebugException: { } cause } && refusal.Reason == Reason.PeerUnavailable)
        {
            // Ours, not one that the service passed on.
            throw new UnreachableException($"the {_service} at {addresses} does not answer ({(refusal.Sentence ?? cause.Message).TrimEnd('.')})", refusal);
        }
    }

    private static StackDescription? ReadDescription(string state)
    {
        try
        {
            return StackDescription.Read(state);
        }
        catch (StackException e)
        {
            throw new UsageException(e.Message);
        }
    }

    private PeerAddresses? Given(ParseResult parsed)
    {
        if ((parsed.GetValue(_address) ?? Environment.GetEnvironmentVariable(Variable)) is not { } text) return null;
        return new PeerAddresses([.. text.Split(',', StringSplitOptions.TrimEntries).Select(part => Uri.TryCreate(part, UriKind.Absolute, out var address)
            ? address
            : throw new UsageException($"--{_service}: '{part}' is no address; it looks like https://host:port."))]);
    }

    private static PeerChannel Create(PeerAddresses addresses, PeerOptions options)
    {
        try
        {
            return PeerChannel.Create(addresses, options);
        }
        catch (StartRefused refused)
        {
            throw new UsageException(refused.Message);
        }
    }

    private static string? ReadKey(string? file)
    {
        if (file is null) return null;
        if (!File.Exists(file)) throw new UsageException($"The admin key file {file} does not exist.");
        var key = File.ReadAllText(file).Trim();
        return key.Length > 0 && key.All(c => c is > ' ' and <= '~') ? key : throw new UsageException($"The admin key file {file} holds no admin key: that is one line without blanks.");
    }
}
