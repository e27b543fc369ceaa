using System.Globalization;

namespace ClawBureau.Tokens.Tests;

/// <summary>SECURITY.md D11: seeds stand in memory that is neither swapped out nor dumped, and are zeroed when their key goes.</summary>
public sealed class SecretMemoryTests
{
    [Fact]
    public void A_seeds_page_is_locked_and_not_dumped()
    {
        if (!OperatingSystem.IsLinux()) return; // proc(5) tells it
        var seed = new SecretSeed(TestTokens.Seed(23));
        Assert.Equal(TestTokens.Seed(23), seed.Bytes.ToArray());
        Assert.Null(SecretMemory.Flaw);
        var locked = File.ReadLines("/proc/self/status").Single(line => line.StartsWith("VmLck:", StringComparison.Ordinal)).Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
        Assert.InRange(long.Parse(locked[1], CultureInfo.InvariantCulture) * 1024, SecretMemory.Bytes, long.MaxValue);

        // lo: locked; dd: not in a dump (proc_pid_smaps(5)).
        var address = seed.DangerousGetHandle();
        var flags = FlagsAt(address);
        Assert.Contains("lo", flags);
        Assert.Contains("dd", flags);
        seed.Dispose();
    }

    [Fact]
    public void A_seed_is_zeroed_when_its_key_is_disposed_and_its_place_is_used_again()
    {
        var slots = new HashSet<nint>();
        for (var round = 0; round < 1000; round++)
        {
            var seed = new SecretSeed(TestTokens.Seed(round));
            var slot = seed.DangerousGetHandle();
            slots.Add(slot);
            var held = false;
            seed.DangerousAddRef(ref held);
            seed.Dispose();
            Assert.Equal(TestTokens.Seed(round), seed.Bytes.ToArray());     // somebody is still signing
            seed.DangerousRelease();
            Assert.True(seed.IsClosed);
            Assert.Throws<ObjectDisposedException>(() => seed.DangerousAddRef(ref held));
        }
        Assert.InRange(slots.Count, 1, 128);                                // other tests take some of the page meanwhile
    }

    [Fact]
    public void What_is_returned_is_zero()
    {
        var slot = SecretMemory.Take(TestTokens.Seed(1));
        SecretMemory.Return(slot);
        // Nobody but the next seed's owner writes there; who that is, if another test was quicker, wrote 32 other bytes.
        Assert.NotEqual(TestTokens.Seed(1), SecretMemory.At(slot).ToArray());
    }

    [Fact]
    public void More_seeds_than_a_page_holds_stand_on_another()
    {
        var seeds = Enumerable.Range(0, 300).Select(i => new SecretSeed(TestTokens.Seed(i))).ToList();
        for (var i = 0; i < seeds.Count; i++) Assert.Equal(TestTokens.Seed(i), seeds[i].Bytes.ToArray());
        Assert.Equal(300, seeds.Select(seed => seed.DangerousGetHandle()).Distinct().Count());
        Assert.InRange(SecretMemory.Bytes, 300 * 32, long.MaxValue);
        seeds.ForEach(seed => seed.Dispose());
    }

    [Fact]
    public void Keys_that_come_and_go_sign_as_ever()
    {
        var expected = Enumerable.Range(0, 8).Select(i => Signed(i)).ToArray();
        Parallel.For(0, 400, i => Assert.Equal(expected[i % 8], Signed(i % 8)));

        static byte[] Signed(int offset)
        {
            using var key = TestTokens.Key(offset);
            return key.Sign([1, 2, 3]);
        }
    }

    private static string[] FlagsAt(nint address)
    {
        var isIt = false;
        foreach (var line in File.ReadLines("/proc/self/smaps"))
        {
            var range = line.Split(' ')[0].Split('-');
            if (range.Length == 2 && long.TryParse(range[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var start)
                && long.TryParse(range[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var end)) isIt = start <= address && address < end;
            if (isIt && line.StartsWith("VmFlags:", StringComparison.Ordinal)) return line["VmFlags:".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        }
        throw new InvalidOperationException("the page is in no mapping");
    }
}
