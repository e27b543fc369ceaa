using ClawBureau.Hosting;
using ClawBureau.Hosting.Peers;
using ClawBureau.Stack;

namespace ClawBureau.Cli.Doctor;

/// <summary>Services that the environment names and this machine need not run, as in a container of deploy/: do they answer, and are they ready?</summary>
internal static class NamedServices
{
    /// <summary>Of each variable that is set, such as CLAW_ISSUER, its name and value.</summary>
    public static IReadOnlyList<(Place Place, string Addresses)> Find(Func<string, string?> environment) =>
        [.. Place.All.Select(place => (place, environment(place.PeerVariable) ?? "")).Where(named => named.Item2.Length > 0)];

    public static async Task<IReadOnlyList<Diagnosis>> LookAtAsync(IReadOnlyList<(Place Place, string Addresses)> named, string? caFile, CancellationToken cancellationToken) =>
        [.. (await Task.WhenAll(named.Select(service => LookAtAsync(service.Place, service.Addresses, new PeerOptions { CaFile = caFile }, cancellationToken)))).SelectMany(found => found)];

    private static async Task<IEnumerable<Diagnosis>> LookAtAsync(Place place, string addresses, PeerOptions peer, CancellationToken cancellationToken) =>
        await Task.WhenAll(addresses.Split(',', StringSplitOptions.TrimEntries).Select(async text =>
        {
            var check = $"service.{place.Name}";
            if (!Uri.TryCreate(text, UriKind.Absolute, out var address))
                return Diagnosis.Problem(check, $"'{text}' is no address", $"Set {place.PeerVariable} to https://host:port, several with commas between.");
            try
            {
                return await StackHealth.AskAsync(address, peer, cancellationToken) switch
                {
                    ServiceState.Serving => Diagnosis.Ok(check, $"serves at {address}"),
                    ServiceState.NotServing => Diagnosis.Problem(check, $"is not ready at {address}", "What it waits for, its database or a peer, stands in its log."),
                    _ => Diagnosis.Problem(check, $"does not answer at {address}", $"Is it running, and has CLAW_CA_FILE the CA of its certificate? {place.PeerVariable} says where to look."),
                };
            }
            catch (StartRefused refused)
            {
                return Diagnosis.Problem(check, $"cannot be asked at {address}: {refused.Message.TrimEnd('.')}", "Set CLAW_CA_FILE to the PEM of the CA that signed its certificate.");
            }
        }));
}
