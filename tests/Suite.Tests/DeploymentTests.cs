using ClawBureau.Stack;

namespace ClawBureau.Suite.Tests;

/// <summary>docker-compose.yml and the image, held to what a local stack runs.</summary>
public sealed class DeploymentTests
{
    [Fact]
    public void Compose_has_every_service_at_its_port_with_its_peers_and_its_database()
    {
        var compose = File.ReadAllText(Path.Combine(Claw.Root, "docker-compose.yml"));
        var image = File.ReadAllText(Path.Combine(Claw.Root, "deploy", "Dockerfile"));
        foreach (var place in Place.All)
        {
            var begin = compose.IndexOf($"\n  {place.Name}:\n", StringComparison.Ordinal);
            Assert.True(begin >= 0, $"docker-compose.yml has no service {place.Name}");
            var service = compose[begin..compose.IndexOf("\n\n", begin, StringComparison.Ordinal)];
            Assert.Contains($"/app/services/{place.Service}/ClawBureau.{place.Service}.dll", service, StringComparison.Ordinal);
            Assert.Contains($"CLAW_LISTEN: https://0.0.0.0:{PortOf(place)}\n", service, StringComparison.Ordinal);
            foreach (var peer in Place.All.Where(p => place.Peers.Contains(p.Name)))
                Assert.Contains($"{peer.PeerVariable}: https://{peer.Name}:{PortOf(peer)}", service, StringComparison.Ordinal);
            if (place.Database?.Invoke(new DatabaseAccess("", "", "", "")) is var (variable, _)) Assert.Contains($"{variable}: ", service, StringComparison.Ordinal);
            Assert.Matches($@"for service in [\w ]*\b{place.Service}\b", image);
        }
    }

    [Fact]
    public void Passwords_are_nobody_s_until_they_are_set()
    {
        var example = File.ReadLines(Path.Combine(Claw.Root, "deploy", "compose.env.example")).Where(l => l.Length > 0 && l[0] != '#').ToList();
        Assert.Equal(["POSTGRES_PASSWORD=", "CLAW_ISSUER_PASSWORD=", "CLAW_INTROSPECTOR_PASSWORD=", "CLAW_AUDIT_PASSWORD="], example);
        var compose = File.ReadAllText(Path.Combine(Claw.Root, "docker-compose.yml"));
        foreach (var name in example.Select(l => l.TrimEnd('='))) Assert.Contains($"${{{name}:?", compose, StringComparison.Ordinal);
    }

    private static int PortOf(Place place) => 7400 + 10 * place.Number;
}
