using System.Net;
using System.Net.Sockets;
using System.Threading.RateLimiting;
using ClawBureau.Tokens;

namespace ClawBureau.Edge;

/// <summary>How often one address may ask without a credential, so that one caller does not use up what is for all.</summary>
internal sealed class ClientRate(EdgeOptions options) : IDisposable
{
    private readonly PartitionedRateLimiter<IPAddress> _limiter = PartitionedRateLimiter.Create<IPAddress, IPAddress>(address =>
        RateLimitPartition.GetTokenBucketLimiter(address, _ => new TokenBucketRateLimiterOptions
        {
            TokenLimit = 2 * options.RatePerClient,
            TokensPerPeriod = Math.Max(1, options.RatePerClient / 10),
            ReplenishmentPeriod = TimeSpan.FromSeconds(options.RatePerClient < 10 ? 1.0 / options.RatePerClient : 0.1),
        }));

    /// <exception cref="Refusal">RATE_LIMITED.</exception>
    public void Require(IPAddress? address)
    {
        using var lease = _limiter.AttemptAcquire(Whose(address ?? IPAddress.None));
        if (!lease.IsAcquired) throw new Refusal(Reason.RateLimited, "Too many introspections from this address; try again in a moment");
    }

    public void Dispose() => _limiter.Dispose();

    // Whoever has one IPv6 address has the other 2^64 of its network as well.
    private static IPAddress Whose(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6) return address.MapToIPv4();
        if (address.AddressFamily != AddressFamily.InterNetworkV6) return address;
        var bytes = address.GetAddressBytes();
        bytes.AsSpan(8).Clear();
        return new IPAddress(bytes);
    }
}
