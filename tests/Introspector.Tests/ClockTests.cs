using Microsoft.Extensions.DependencyInjection;

namespace ClawBureau.Introspector.Tests;

/// <summary>A wall clock that is set forth and back (DESIGN "Revocation"): what has expired stays so, and nothing revoked is forgotten.</summary>
public sealed class ClockTests
{
    [Fact]
    public void The_time_never_goes_back_until_it_is_told_to_follow()
    {
        var wall = new SetClock();
        var clock = new IntrospectorClock(wall);
        var noon = clock.UtcNow;
        wall.Offset = TimeSpan.FromHours(1);
        Assert.InRange(clock.UtcNow, noon + TimeSpan.FromHours(1), noon + TimeSpan.FromHours(2));
        wall.Offset = TimeSpan.Zero;
        Assert.InRange(clock.UtcNow, noon + TimeSpan.FromHours(1), noon + TimeSpan.FromHours(2));
        Assert.True(clock.HasJumpedBack);
        clock.FollowWallClock();
        Assert.False(clock.HasJumpedBack);
        Assert.InRange(clock.UtcNow, noon, noon + TimeSpan.FromMinutes(30));
    }

    [Fact]
    public async Task A_clock_that_was_set_days_ahead_and_back_again_costs_no_revocation()
    {
        var wall = new SetClock();
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked, add: services => services.AddSingleton<TimeProvider>(wall));
        var token = await introspector.MintAsync();
        await introspector.RevokeAsync(token);
        Assert.True((await introspector.IntrospectAsync(token)).Revoked);

        wall.Offset = TimeSpan.FromDays(10);
        var clock = introspector.Process.Services.GetRequiredService<IntrospectorClock>();
        Assert.Equal(1, introspector.Live.DropExpired(clock.UtcNow));
        Assert.Equal(0, introspector.Live.Count);

        wall.Offset = TimeSpan.Zero;
        var answer = await introspector.IntrospectAsync(token);
        Assert.Equal((false, true, 1), (answer.Active, answer.Revoked, introspector.Live.Count));
        Assert.True((await introspector.IntrospectAsync(introspector.Sign())).Active);
        Assert.Contains(introspector.Process.Logs, line => line.Contains("clock.set_back", StringComparison.Ordinal));
    }

    /// <summary>The wall clock somebody sets; the monotonic one goes on.</summary>
    private sealed class SetClock : TimeProvider
    {
        public TimeSpan Offset { get; set; }

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Offset;
    }
}
