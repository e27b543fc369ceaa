using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Peers;
using ClawBureau.Ledger;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Stack;
using ClawBureau.Tokens;
using Npgsql;
using KeyState = ClawBureau.Protos.Keys.V1.KeyState;

namespace ClawBureau.Cli.Doctor;

/// <summary>What may be wrong with a stack that is described in its folder.</summary>
internal static class RunningStack
{
    private static readonly TimeSpan Renewed = TimeSpan.FromDays(30);       // a new start renews what has less than a third of its 90 days left
    private static readonly TimeSpan NoticedSkew = TimeSpan.FromMilliseconds(500);

    /// <summary>Issuers refuse to sign from here on.</summary>
    private static readonly TimeSpan MostSkew = TimeSpan.FromSeconds(2);

    public static async Task<IReadOnlyList<Diagnosis>> LookAtAsync(StackDescription described, TimeProvider time, CancellationToken cancellationToken)
    {
        var at = $" --state {described.State}";
        var found = new List<Diagnosis> { Owner(described, at) };
        foreach (var service in await StackHealth.AskAsync(described, cancellationToken)) found.Add(Service(service, described, at));
        found.Add(Secrets(described.Services.SelectMany(service => service.Value.Select(process => (service.Key, process.Pid))), "/proc"));
        found.AddRange(await DatabaseAsync(described, time, cancellationToken));
        found.Add(Certificates(Path.GetDirectoryName(described.CaFile)!, time, at));
        found.Add(await KeysAsync(described, time, cancellationToken));
        return found;
    }

    private static Diagnosis Owner(StackDescription described, string at) => StackFolder.OwnerOf(described.State) is { } owner
        ? Diagnosis.Ok("stack", $"process {owner} runs it and starts again what dies")
        : Diagnosis.Problem("stack", "the process that ran it is gone", $"`claw down{at}` ends what it left; `claw up{at}` starts it anew.");

    private static Diagnosis Service(ProcessHealth service, StackDescription described, string at)
    {
        var (check, log) = ($"service.{service.Name}", Path.Combine(described.State, "logs", service.Name + ".log"));
        return service.State switch
        {
            ServiceState.Serving => Diagnosis.Ok(check, $"process {service.Pid} serves at {service.Url}"),
            ServiceState.NotServing => Diagnosis.Problem(check, $"process {service.Pid} is not ready", $"What it waits for, its database or a peer, stands in {log}."),
            ServiceState.Silent => Diagnosis.Problem(check, $"process {service.Pid} does not answer at {service.Url}", $"See {log}; `kill {service.Pid}` has it started again."),
            _ => Diagnosis.Problem(check, $"process {service.Pid} is dead", $"It is started again within seconds while `claw up{at}` runs; why it ended stands in {log}."),
        };
    }

    /// <summary>Whether what the processes hold in memory can come to a disk: as a core dump, or, of the Issuers' seeds, as swap.</summary>
    internal static Diagnosis Secrets(IEnumerable<(string Service, int Pid)> processes, string proc)
    {
        const string check = "secrets";
        if (!OperatingSystem.IsLinux()) return Diagnosis.Ok(check, "memory is not looked at here");
        var dumping = new List<int>();
        var unlocked = new List<int>();
        foreach (var (service, pid) in processes)
        {
            // A process that is gone is spoken of elsewhere.
            if (FieldsOf(Path.Combine(proc, $"{pid}", "limits"), "Max core file size") is { } limit && limit is not ["0", "0", ..]) dumping.Add(pid);
            if (service == "issuer" && FieldsOf(Path.Combine(proc, $"{pid}", "status"), "VmLck:") is ["0", ..]) unlocked.Add(pid);
        }
        if (dumping.Count > 0)
            return Diagnosis.Warning(check, $"a crash of process {string.Join(", ", dumping)} may leave a core dump with secrets in it", "The process's log says why at its start (core_dumps.on); `ulimit -c 0` before the start helps.");
        return unlocked.Count > 0
            ? Diagnosis.Warning(check, $"the seeds of process {string.Join(", ", unlocked)} may be swapped out", "Let it lock a page: raise `ulimit -l` (systemd: LimitMEMLOCK=64K), or do without swap.")
            : Diagnosis.Ok(check, "the Issuers' seeds are locked in memory, and no process dumps core");
    }

    /// <summary>What stands behind the name in its line; null: no such file or line.</summary>
    private static string[]? FieldsOf(string file, string name)
    {
        try
        {
            return File.ReadLines(file).FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal))?[name.Length..].Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static async Task<IReadOnlyList<Diagnosis>> DatabaseAsync(StackDescription described, TimeProvider time, CancellationToken cancellationToken)
    {
        await using var database = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(described.Database) { Timeout = 5, CommandTimeout = 5, Pooling = false }.ConnectionString);
        var found = new List<Diagnosis>();
        try
        {
            await using var connection = await database.OpenConnectionAsync(cancellationToken);
            found.Add(Diagnosis.Ok("database", $"PostgreSQL {connection.PostgreSqlVersion} answers"));
            found.Add(await ClockAsync(connection, time, cancellationToken));
        }
        catch (NpgsqlException e)
        {
            return [Diagnosis.Problem("database", $"it cannot be reached: {e.Message}", $"Its log: {Path.Combine(described.State, "postgres", "server.log")}")];
        }
        try
        {
            await Migrator.RequireCurrentAsync(database, cancellationToken);
            found.Add(Diagnosis.Ok("schema", $"version {Migrator.CurrentVersion}, this build's"));
        }
        catch (Exception e) when (e is InvalidOperationException or NpgsqlException)
        {
            found.Add(Diagnosis.Problem("schema", e.Message.TrimEnd('.'), "`claw migrate` (CLAW_DATABASE as an administrator), or a new start of the stack, brings it to this build's."));
        }
        return found;
    }

    /// <summary>Compared at the middle of the question's way.</summary>
    private static async Task<Diagnosis> ClockAsync(NpgsqlConnection connection, TimeProvider time, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("SELECT clock_timestamp()", connection);
        var before = time.GetUtcNow();
        var there = new DateTimeOffset((DateTime)(await command.ExecuteScalarAsync(cancellationToken))!, TimeSpan.Zero);
        var here = before + (time.GetUtcNow() - before) / 2;
        return Clock(there - here);
    }

    internal static Diagnosis Clock(TimeSpan ahead)
    {
        var told = $"the database's clock is {ahead.Duration().TotalMilliseconds:0} ms {(ahead < TimeSpan.Zero ? "behind" : "ahead of")} this machine's";
        const string remedy = "Issuers refuse to sign from 2 s on: let NTP set both machines' clocks.";
        return ahead.Duration() >= MostSkew ? Diagnosis.Problem("clock", told, remedy)
            : ahead.Duration() >= NoticedSkew ? Diagnosis.Warning("clock", told, remedy)
            : Diagnosis.Ok("clock", told);
    }

    internal static Diagnosis Certificates(string folder, TimeProvider time, string at)
    {
        var now = time.GetUtcNow();
        (string Name, DateTimeOffset Ends)? first = null;
        foreach (var file in Directory.Exists(folder) ? Directory.GetFiles(folder, "*.crt") : [])
        {
            try
            {
                using var certificate = X509CertificateLoader.LoadCertificateFromFile(file);
                var ends = new DateTimeOffset(certificate.NotAfter);
                if (first is null || ends < first.Value.Ends) first = (Path.GetFileName(file), ends);
            }
            catch (CryptographicException e)
            {
                return Diagnosis.Problem("certificates", $"{file} cannot be read ({e.Message})", $"Remove it and start the stack anew: `claw up{at}` makes what is missing.");
            }
        }
        if (first is not var (name, expiry)) return Diagnosis.Problem("certificates", $"there are none in {folder}", $"`claw up{at}` makes what is missing.");
        var told = $"{name} is the first to expire, on {expiry:yyyy-MM-dd}";
        var renew = $"`claw down{at}`, then `claw up{at}`: a start renews them.";
        return expiry <= now ? Diagnosis.Problem("certificates", $"{name} expired on {expiry:yyyy-MM-dd HH:mm}Z", renew)
            : expiry - now < Renewed ? Diagnosis.Warning("certificates", told, renew)
            : Diagnosis.Ok("certificates", told);
    }

    private static async Task<Diagnosis> KeysAsync(StackDescription described, TimeProvider time, CancellationToken cancellationToken)
    {
        try
        {
            using var channel = PeerChannel.Create(new PeerAddresses([.. described.Services["issuer"].Select(p => p.Url)]), new PeerOptions { CaFile = described.CaFile, UnaryDeadline = TimeSpan.FromSeconds(5) });
            var answer = await new KeyService.KeyServiceClient(channel.Calls).GetKeySetAsync(new GetKeySetRequest(), cancellationToken: cancellationToken);
            return Keys(answer.KeySet, time.GetUtcNow());
        }
        catch (Exception e) when (e is Refusal or StartRefused)
        {
            return Diagnosis.Problem("keys", $"the Issuer does not tell them ({e.Message.TrimEnd('.')})", "See what is said of the Issuer and the database.");
        }
    }

    internal static Diagnosis Keys(KeySet keys, DateTimeOffset now)
    {
        var told = string.Join(", ", keys.Keys.Select(k => $"{k.Kid} {Name(k.State)}{(k.NotAfter is { } until ? $" until {until.ToDateTimeOffset():yyyy-MM-dd HH:mm}Z" : "")}"));
        if (!keys.Keys.Any(k => k.Kid == keys.ActiveKid && k.CanSign))
            return Diagnosis.Problem("keys", $"no active key signs ({told})", "Give it one: `claw keys rotate --emergency` where the Issuer has a key folder, else SCOPE_SIGNING_KEY_FILE or SCOPE_SIGNING_KEYS_JSON.");
        var endless = keys.Keys.Where(k => k.State == KeyState.VerifyOnly && k.NotAfter is null).Select(k => k.Kid).ToList();
        return endless.Count > 0
            ? Diagnosis.Warning("keys", $"{string.Join(", ", endless)} is accepted without an end ({told})", "Give it a not_after_unix in SCOPE_VERIFY_PUBLIC_KEYS_JSON.")
            : keys.Keys.Where(k => k.State == KeyState.VerifyOnly && k.NotAfter.ToDateTimeOffset() <= now).Select(k => k.Kid).ToList() is { Count: > 0 } past
                ? Diagnosis.Warning("keys", $"{string.Join(", ", past)} is past its cut-off ({told})", "Take it out of SCOPE_VERIFY_PUBLIC_KEYS_JSON.")
                : Diagnosis.Ok("keys", told);
    }

    private static string Name(KeyState state) => state switch
    {
        KeyState.VerifyOnly => "verify-only",
        _ => state.ToString().ToLowerInvariant(),
    };
}
