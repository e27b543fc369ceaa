using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.Json;
using ClawBureau.Stack;

namespace ClawBureau.Suite.Tests;

/// <summary>What `claw up` promises to people and scripts.</summary>
[Collection(SharedDetachedStack.Name)]
public sealed class UpTests(DetachedStack stack)
{
    private static readonly string[] Members =
    [
        "version", "state", "services", "edge", "edge_http", "issuer", "introspector", "verifier", "audit_sink",
        "ca_file", "admin_key_file", "client_cert_file", "client_key_file", "database",
    ];

    [Fact]
    public async Task Stack_json_names_what_runs_where_and_is_its_owners_alone()
    {
        var file = Path.Combine(stack.State, "stack.json");
        using var document = JsonDocument.Parse(await File.ReadAllTextAsync(file));
        var root = document.RootElement;
        Assert.Equal(Members, root.EnumerateObject().Select(m => m.Name));
        Assert.Equal((1, stack.State), (root.GetProperty("version").GetInt32(), root.GetProperty("state").GetString()));
        if (!OperatingSystem.IsWindows()) Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));

        var services = root.GetProperty("services");
        Assert.Equal(Place.All.Select(p => p.Member), services.EnumerateObject().Select(s => s.Name));
        foreach (var place in Place.All)
        {
            var processes = services.GetProperty(place.Member).EnumerateArray().ToList();
            Assert.Equal(place.Name is "issuer" or "introspector" ? 2 : 1, processes.Count);
            for (int replica = 0; replica < processes.Count; replica++)
            {
                Assert.Equal(["url", "pid"], processes[replica].EnumerateObject().Select(m => m.Name));
                Assert.Equal($"https://127.0.0.1:{stack.PortBase + 10 * place.Number + replica}/", processes[replica].GetProperty("url").GetString());
                using var process = Process.GetProcessById(processes[replica].GetProperty("pid").GetInt32());
                Assert.False(process.HasExited);
            }
            Assert.Equal(processes[0].GetProperty("url").GetString(), root.GetProperty(place.Member).GetString());
        }
        Assert.Equal($"http://127.0.0.1:{stack.PortBase + 5}/", root.GetProperty("edge_http").GetString());
        foreach (var named in (string[])["ca_file", "admin_key_file", "client_cert_file", "client_key_file"]) Assert.True(File.Exists(root.GetProperty(named).GetString()), named);
    }

    [Fact]
    public void The_table_shows_every_process_and_what_opens_the_protected_routes()
    {
        foreach (var service in stack.Described.Services)
        {
            for (int replica = 0; replica < service.Value.Count; replica++)
                Assert.Contains($"  {service.Key.Replace('_', '-')}-{replica} ", stack.Up.Out, StringComparison.Ordinal);
        }
        Assert.Contains($"plain HTTP http://127.0.0.1:{stack.PortBase + 5}/, SCOPE_PROTECTED_AUTH_MODE=admin_token", stack.Up.Out, StringComparison.Ordinal);
        Assert.Equal(3, stack.Up.Out.Split('\n').Count(l => l.StartsWith("  ./claw ", StringComparison.Ordinal)));
        Assert.Contains($"`./claw down --state {stack.State}` ends it.", stack.Up.Out, StringComparison.Ordinal);
        Assert.Equal("", stack.Up.Error);
    }

    [Fact]
    public async Task The_plain_listener_serves_the_http_face_with_the_variables_that_were_passed_on()
    {
        var described = stack.Described;
        using var http = new HttpClient { BaseAddress = described.EdgeHttp };
        Assert.Equal("9.9.9-suite", (await http.GetFromJsonAsync<JsonElement>("/health")).GetProperty("version").GetString());

        using var list = new HttpRequestMessage(HttpMethod.Get, "/v1/revocations/stream");
        list.Headers.Authorization = new("Bearer", (await File.ReadAllTextAsync(described.AdminKeyFile)).Trim());
        using var answer = await http.SendAsync(list);
        Assert.True(answer.IsSuccessStatusCode, $"an admin key does not open a protected route: {answer.StatusCode}");
    }

    [Fact]
    public async Task Status_says_what_serves_and_a_second_stack_in_the_folder_is_refused()
    {
        var status = await Claw.RunAsync("status", "--json", "--state", stack.State);
        Assert.True(status.Code == 0, status.All);
        var told = JsonDocument.Parse(status.LastLine).RootElement;
        Assert.True(told.GetProperty("serving").GetBoolean());
        Assert.Equal(stack.Described.Services.Sum(s => s.Value.Count), told.GetProperty("services").GetArrayLength());
        Assert.All(told.GetProperty("services").EnumerateArray(), s => Assert.Equal("serving", s.GetProperty("state").GetString()));

        foreach (var more in (string[][])[[], ["--detach"]])
        {
            var second = await Claw.RunAsync(["up", "--state", stack.State, .. more], null);
            Assert.True(second.Code == 3, second.All);
            Assert.StartsWith("claw: A stack is running in ", second.Error, StringComparison.Ordinal);
        }
        Assert.Equal(0, (await Claw.RunAsync("status", "--state", stack.State)).Code);
    }

    [Fact]
    public async Task Where_nothing_runs_status_says_so_with_3_and_down_has_nothing_to_do()
    {
        var empty = Directory.CreateTempSubdirectory("claw-empty-").FullName;
        var status = await Claw.RunAsync("status", "--state", empty);
        Assert.Equal((3, $"claw: No stack runs in {empty}: `claw up` starts one.\n"), (status.Code, status.Error));
        var json = await Claw.RunAsync("status", "--json", "--state", empty);
        Assert.Equal((3, false), (json.Code, JsonDocument.Parse(json.LastLine).RootElement.GetProperty("serving").GetBoolean()));
        var down = await Claw.RunAsync("down", "--state", empty);
        Assert.Equal((0, $"no stack was running in {empty}\n"), (down.Code, down.Out));
        Directory.Delete(empty, recursive: true);
    }

    [Fact]
    public async Task Down_ends_what_a_killed_up_left_behind()
    {
        var state = Directory.CreateTempSubdirectory("claw-left-").FullName;
        using var up = new RunningClaw(["up", "--state", state, "--port-base", $"{PortBases.Free()}"]);
        await up.PrintsAsync("Ctrl-C ends it.");
        Assert.Contains("SCOPE_PROTECTED_AUTH_MODE=canonical_cst", up.Out, StringComparison.Ordinal);       // unless it is said otherwise
        var left = StackDescription.Read(state)!.Services.SelectMany(s => s.Value).ToList();
        up.Signal("KILL");
        await up.WaitAsync(TimeSpan.FromSeconds(10));
        var status = await Claw.RunAsync("status", "--state", state);
        Assert.Equal(3, status.Code);
        Assert.Contains("is gone", status.Out, StringComparison.Ordinal);

        var down = await Claw.RunAsync("down", "--state", state);

        Assert.True(down.Code == 0, down.All);
        Assert.All(left, p => Assert.False(IsRunning(p.Pid), $"process {p.Pid} was left"));
        Assert.False(File.Exists(Path.Combine(state, "postgres", "data", "postmaster.pid")));
        Assert.False(File.Exists(Path.Combine(state, "stack.json")));
        Directory.Delete(state, recursive: true);
    }

    [Fact]
    public async Task A_stack_that_cannot_stand_ends_a_detached_up_with_its_reason()
    {
        var state = Directory.CreateTempSubdirectory("claw-broken-").FullName;
        var up = await Claw.RunAsync(["up", "--detach", "--state", state, "--port-base", $"{stack.PortBase}"], null);     // those ports are taken
        Assert.True(up.Code == 3, up.All);
        Assert.Contains("CLAW_LISTEN", up.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", up.Error, StringComparison.Ordinal);
        Assert.Equal(3, (await Claw.RunAsync("status", "--state", state)).Code);
        Directory.Delete(state, recursive: true);
    }

    private static bool IsRunning(int id)
    {
        try
        {
            using var process = Process.GetProcessById(id);
            return !process.HasExited;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }
}
