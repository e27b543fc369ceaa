using ClawBureau.Hosting.Keys;
using ClawBureau.Tokens;

namespace ClawBureau.Hosting.Tests;

public sealed class KeyFolderTests : IDisposable
{
    private readonly string _path = Path.Combine(Directory.CreateTempSubdirectory("claw-keys-").FullName, "keys");

    public void Dispose() => Directory.Delete(Path.GetDirectoryName(_path)!, recursive: true);

    [Fact]
    public void A_key_that_is_made_lies_in_a_file_of_its_own_that_nobody_else_can_read_and_is_read_back()
    {
        var folder = new KeyFolder(_path);
        Assert.Empty(folder.Read());
        using var made = folder.Generate();
        var file = Assert.Single(Directory.GetFiles(_path));

        Assert.Equal(Path.Combine(_path, made.KeyId + ".seed"), file);
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(_path));
        }
        Assert.Equal(made.KeyId, Assert.Single(new KeyFolder(_path).Read()).KeyId);
    }

    [Fact]
    public void What_appears_and_goes_is_seen_at_the_next_look_and_what_stays_is_the_same_key()
    {
        var (ours, another) = (new KeyFolder(_path), new KeyFolder(_path));
        using var first = another.Generate();
        var held = Assert.Single(ours.Read());
        using var second = another.Generate();
        Assert.Equal(new[] { first.KeyId, second.KeyId }.ToHashSet(), ours.Read().Select(key => key.KeyId).ToHashSet());
        Assert.Contains(held, ours.Read());
        another.Destroy(first.KeyId);
        Assert.Equal(second.KeyId, Assert.Single(ours.Read()).KeyId);
    }

    [Theory]
    [InlineData(UnixFileMode.GroupRead)]
    [InlineData(UnixFileMode.OtherRead)]
    [InlineData(UnixFileMode.GroupWrite)]
    public void A_seed_that_others_may_read_or_write_is_refused_and_can_be_closed_again(UnixFileMode open)
    {
        if (OperatingSystem.IsWindows()) return;
        var folder = new KeyFolder(_path);
        using var key = folder.Generate();
        var file = Directory.GetFiles(_path).Single();
        folder.Read();
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite | open);
        var refused = Assert.Throws<StartRefused>(folder.Read);
        Assert.Contains(file, refused.Message, StringComparison.Ordinal);
        Assert.Throws<StartRefused>(new KeyFolder(_path).Read);
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        Assert.Single(folder.Read());
    }

    [Fact]
    public void A_folder_that_others_may_enter_is_refused()
    {
        if (OperatingSystem.IsWindows()) return;
        _ = new KeyFolder(_path);
        File.SetUnixFileMode(_path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupExecute);
        Assert.Contains("chmod 700", Assert.Throws<StartRefused>(() => new KeyFolder(_path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_seed_of_another_user_is_refused()
    {
        if (OperatingSystem.IsWindows() || Environment.UserName != "root") return;        // only root can give files away
        var folder = new KeyFolder(_path);
        using var key = folder.Generate();
        using var chown = System.Diagnostics.Process.Start("chown", ["65534", Directory.GetFiles(_path).Single()]);
        chown.WaitForExit();
        Assert.Contains("another user", Assert.Throws<StartRefused>(new KeyFolder(_path).Read).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("")]
    [InlineData("AAAA")]
    public void A_file_that_is_no_seed_is_refused_and_its_content_is_not_told(string content)
    {
        var folder = new KeyFolder(_path);
        Write("fe2b99fd9afaa999.seed", content);
        var refused = Assert.Throws<StartRefused>(folder.Read);
        Assert.Contains("fe2b99fd9afaa999.seed", refused.Message, StringComparison.Ordinal);
        if (content.Length > 0) Assert.DoesNotContain(content, refused.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_seed_under_the_name_of_another_key_is_refused()
    {
        var folder = new KeyFolder(_path);
        using var key = folder.Generate();
        File.Move(Directory.GetFiles(_path).Single(), Path.Combine(_path, "fe2b99fd9afaa999.seed"));
        Assert.Contains("another key", Assert.Throws<StartRefused>(new KeyFolder(_path).Read).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void More_seeds_than_a_JWKS_may_list_are_refused()
    {
        var folder = new KeyFolder(_path);
        for (int i = 0; i <= TokenLimits.MaxKeys; i++) folder.Generate().Dispose();
        Assert.Contains($"{TokenLimits.MaxKeys}", Assert.Throws<StartRefused>(folder.Read).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_being_written_is_not_read()
    {
        var folder = new KeyFolder(_path);
        Write("fe2b99fd9afaa999.seed.0123.tmp", "half of a se");
        Assert.Empty(folder.Read());
    }

    private void Write(string name, string content)
    {
        var file = Path.Combine(_path, name);
        File.WriteAllText(file, content);
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }
}
