using ClawBureau.Hosting.Callers;
using ClawBureau.Hosting.Tests.Processes;
using ClawBureau.Tokens;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting.Tests;

public sealed class AdminKeysTests : IDisposable
{
    private readonly string path = Path.Combine(TemporaryFolder.Create(), "keys.json");
    private readonly ManualTime time = new();
    private readonly CapturedLogs logs = new();

    public void Dispose() => logs.Dispose();

    [Fact]
    public void A_changed_file_is_read_again()
    {
        AdminKeyFiles.Write(path, ("old", "old-key", ["*"]));
        var keys = Keys();
        Assert.Equal("admin:old", keys.Authenticate("old-key").Name);

        AdminKeyFiles.Write(path, ("new", "new-key", ["feed:read"]));
        time.Advance(TimeSpan.FromSeconds(2));

        Assert.Equal(["feed:read"], keys.Authenticate("Bearer new-key").Scopes);
        Assert.Equal(Reason.Unauthorized, Assert.Throws<Refusal>(() => keys.Authenticate("old-key")).Reason);
    }

    [Theory]
    [InlineData("not json")]
    [InlineData("{}")]
    [InlineData("[null]")]
    [InlineData("""[{"name":"a"}]""")]
    [InlineData("""[{"name":"a","sha256":"00","scopes":["*"]}]""")]
    [InlineData("""[{"name":"A b","sha256":"0000000000000000000000000000000000000000000000000000000000000000","scopes":["*"]}]""")]
    [InlineData("""[{"name":"a","sha256":"0000000000000000000000000000000000000000000000000000000000000000","scopes":[]}]""")]
    [InlineData("""[{"name":"a","sha256":"0000000000000000000000000000000000000000000000000000000000000000","scopes":["*"],"key":"k"}]""")]
    public void A_broken_file_refuses_the_start_and_later_leaves_the_old_keys(string broken)
    {
        AdminKeyFiles.WriteText(path, broken);
        Assert.Contains(path, Assert.Throws<StartRefused>(Keys).Message);

        AdminKeyFiles.Write(path, ("old", "old-key", ["*"]));
        var keys = Keys();
        AdminKeyFiles.WriteText(path, broken);
        time.Advance(TimeSpan.FromSeconds(2));

        Assert.Equal("admin:old", keys.Authenticate("old-key").Name);
        Assert.Single(logs.Lines, line => line is { Event: "file.reload_failed", Level: LogLevel.Warning });
    }

    [Theory]
    [InlineData(UnixFileMode.GroupRead)]
    [InlineData(UnixFileMode.OtherRead)]
    [InlineData(UnixFileMode.GroupWrite)]
    public void A_file_that_others_can_open_is_refused_until_it_is_closed(UnixFileMode open)
    {
        if (OperatingSystem.IsWindows()) return;
        const UnixFileMode closed = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        AdminKeyFiles.Write(path, ("a", "key", ["*"]));
        File.SetUnixFileMode(path, closed | open);
        Assert.Contains("chmod 600", Assert.Throws<StartRefused>(Keys).Message);

        File.SetUnixFileMode(path, closed);
        Assert.Equal("admin:a", Keys().Authenticate("key").Name);
    }

    [Fact]
    public void A_missing_file_refuses_the_start() => Assert.Throws<StartRefused>(Keys);

    [Fact]
    public void Keys_of_the_file_and_of_the_variables_stand_side_by_side()
    {
        AdminKeyFiles.Write(path, ("ops", "file-key", ["feed:read"]));
        var keys = Keys(("SCOPE_ADMIN_KEY", "single"), ("SCOPE_ADMIN_KEYS_JSON", "[\"a.b.c\"]"));

        Assert.False(keys.Authenticate("file-key").HasScope("tokens:issue"));
        Assert.True(keys.Authenticate("single").HasScope("tokens:issue"));
        Assert.Equal("admin:scope-admin-1", keys.Authenticate("a.b.c").Name);
    }

    private AdminKeys Keys() => Keys([]);

    private AdminKeys Keys(params (string Name, string Value)[] variables)
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(
            [.. variables.Select(variable => KeyValuePair.Create(variable.Name, (string?)variable.Value)), KeyValuePair.Create("CLAW_ADMIN_KEYS_FILE", (string?)path)]).Build();
        var factory = LoggerFactory.Create(logging => logging.AddProvider(logs));
        return new AdminKeys(new Settings(configuration), time, factory.CreateLogger<AdminKeys>());
    }
}
