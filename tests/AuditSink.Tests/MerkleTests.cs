namespace ClawBureau.AuditSink.Tests;

public sealed class MerkleTests
{
    [Fact]
    public void The_root_is_that_of_RFC_6962_at_every_size_and_full_tiles_are_what_tlog_tiles_says()
    {
        var leaves = Enumerable.Range(0, 700).Select(i => MerkleHash.OfLeaf(BitConverter.GetBytes(i))).ToArray();
        var edge = new TreeEdge();
        var tiles = new List<HashTile>();
        Assert.Equal(NaiveTree.Root([]), edge.Root());
        for (int size = 1; size <= leaves.Length; size++)
        {
            edge.Append(leaves[size - 1], tiles);
            Assert.Equal(NaiveTree.Root(leaves[..size]), edge.Root());
            Assert.Equal(System.Numerics.BitOperations.PopCount((uint)size) * 32, edge.Frontier.Length);
        }
        Assert.Equal([(0, 0L), (0, 1L)], tiles.Select(t => (t.Level, t.Index)));
        Assert.All(tiles, t => Assert.Equal(leaves[(int)(256 * t.Index)..(int)(256 * t.Index + 256)].SelectMany(h => h), t.Hashes));
    }

    [Fact]
    public void Tiles_of_the_next_level_hold_the_roots_of_full_ones()
    {
        var edge = new TreeEdge();
        var tiles = new List<HashTile>();
        for (int i = 0; i < 256 * 256 + 300; i++) edge.Append(MerkleHash.OfLeaf(BitConverter.GetBytes(i)), tiles);

        Assert.Equal(257, tiles.Count(t => t.Level == 0));
        var above = Assert.Single(tiles, t => t.Level == 1);
        Assert.Equal(0, above.Index);
        foreach (int i in (int[])[0, 1, 128, 255])
            Assert.Equal(NaiveTree.Root([.. tiles.First(t => t.Level == 0 && t.Index == i).Hashes.Chunk(32)]), above.Hashes[(32 * i)..(32 * i + 32)]);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(255)]
    [InlineData(256)]
    [InlineData(257)]
    [InlineData(65_535)]
    [InlineData(65_536)]
    [InlineData(65_537)]
    [InlineData(70_000)]
    public void The_edge_rebuilt_from_what_is_stored_is_the_edge_that_was(int size)
    {
        var edge = new TreeEdge();
        var tiles = new List<HashTile>();
        var leaves = Enumerable.Range(0, size).Select(i => MerkleHash.OfLeaf(BitConverter.GetBytes(i))).ToArray();
        foreach (var leaf in leaves) edge.Append(leaf, tiles);

        var partial = new List<IReadOnlyList<byte[]>>();
        for (int level = 0; size >> (8 * level) != 0; level++)
        {
            partial.Add(level == 0
                ? leaves[(size - TreeEdge.PartialWidth(size, 0))..]
                : [.. tiles.Where(t => t.Level == level - 1 && t.Index >= TreeEdge.FullTiles(size, level) << 8).Select(TreeEdge.RootOf)]);
        }
        var rebuilt = TreeEdge.From(size, partial);

        Assert.Equal(edge.Root(), rebuilt.Root());
        Assert.Equal(edge.Frontier, rebuilt.Frontier);
        var (next, again) = (new List<HashTile>(), new List<HashTile>());
        for (int i = 0; i < 300; i++)
        {
            var leaf = MerkleHash.OfLeaf(BitConverter.GetBytes(-i));
            edge.Append(leaf, next);
            rebuilt.Append(leaf, again);
        }
        Assert.Equal(edge.Root(), rebuilt.Root());
        Assert.Equal(next.Select(t => (t.Level, t.Index, Convert.ToHexString(t.Hashes))), again.Select(t => (t.Level, t.Index, Convert.ToHexString(t.Hashes))));
    }

    [Fact]
    public void The_published_hashes_come_out()
    {
        // transparency-dev/merkle (Apache-2.0), rfc6962/rfc6962_test.go and testonly/constants.go.
        Assert.Equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Convert.ToHexStringLower(MerkleHash.Empty));
        Assert.Equal("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", Convert.ToHexStringLower(MerkleHash.OfLeaf([])));
        Assert.Equal("395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56", Convert.ToHexStringLower(MerkleHash.OfLeaf("L123456"u8)));
        Assert.Equal("aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb", Convert.ToHexStringLower(MerkleHash.OfNode("N123"u8, "N456"u8)));
        var edge = new TreeEdge();
        foreach (var leaf in (string[])["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"])
            edge.Append(MerkleHash.OfLeaf(Convert.FromHexString(leaf)), []);
        Assert.Equal("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328", Convert.ToHexStringLower(edge.Root()));
    }
}
