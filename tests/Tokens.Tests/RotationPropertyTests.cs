using FsCheck;
using FsCheck.Fluent;

namespace ClawBureau.Tokens.Tests;

/// <summary>
/// SECURITY.md D12: over random schedules of rotations, revocations, mints and waits, a token is accepted from its issuance to its exp
/// exactly while its key is, and never after. The oracle knows nothing of states: only when a key was replaced, for how long it was
/// to overlap, and when it was revoked.
/// </summary>
public sealed class RotationPropertyTests
{
    private const long Delay = 360, Least = 300;

    /// <summary>One step of a schedule: what is done, and its numbers.</summary>
    public sealed record Step(int What, int Amount, int Choice);

    private static readonly Gen<Step[]> Schedules = Gen.Choose(0, 9)
        .SelectMany(what => Gen.Choose(1, 900).SelectMany(amount => Gen.Choose(0, 7).Select(choice => new Step(what, amount, choice))))
        .ArrayOf(30);

    [Fact]
    public void A_token_is_accepted_from_its_issuance_to_its_exp_exactly_while_its_key_is_and_never_after() =>
        Prop.ForAll(Schedules.ToArbitrary(), schedule =>
        {
            using var world = new World();
            foreach (var step in schedule)
            {
                world.Do(step);
                world.Check();
            }
            return true;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(60));

    /// <summary>The oracle must be able to say no: with a cut-off that ignores the longest token, it does.</summary>
    [Fact]
    public void A_cut_off_that_forgets_the_longest_token_is_found_out()
    {
        using var world = new World { ForgetsLongest = true };
        world.Do(new Step(0, 900, 0));          // a token of 900 s, three times the least overlap
        world.Do(new Step(5, 1, 1));            // an emergency rotation
        world.Do(new Step(9, 400, 0));
        Assert.ThrowsAny<Xunit.Sdk.XunitException>(world.Check);
    }

    private sealed class World : IDisposable
    {
        private readonly List<SigningKey> _keys = [];
        private readonly SigningKey _stranger = new(Seed(9_999));
        private readonly Dictionary<KeyId, long> _replacedAt = [], _cutOff = [], _revokedAt = [], _published = [];
        private readonly List<(ParsedToken Token, KeyId Key)> _tokens = [];
        private KeyStates _states = KeyStates.None;
        private long _now = 1_795_194_899;
        private long _longest;

        public World()
        {
            Apply(_states.Found([NewKey().VerificationKey]));
        }

        public bool ForgetsLongest { get; init; }

        public void Do(Step step)
        {
            switch (step.What)
            {
                case 0 or 1 or 2:
                    Mint(step.Amount);
                    break;
                case 3:
                    Apply(_states.Found([NewKey().VerificationKey]));
                    break;
                case 4 or 5:
                    Rotate(emergency: step.Choice % 4 == 1, overlap: step.Choice % 4 == 2 ? step.Amount : null);
                    break;
                case 6 when step.Choice < 3 && _keys.Count > 0:
                    Revoke(_keys[step.Amount % _keys.Count].KeyId);
                    break;
                default:
                    Wait(step.Amount);
                    break;
            }
        }

        public void Check()
        {
            Assert.True(_states.Keys.Count(key => key.State == KeyState.Active) <= 1, "two keys sign");
            var keys = _states.ToVerificationKeys();
            var at = DateTimeOffset.FromUnixTimeSeconds(_now);
            foreach (var (token, key) in _tokens.TakeLast(5)) Assert.Equal(Expected(token, key), Outcome(token, keys, at));
            Assert.Equal(Reason.TokenUnknownKid, Outcome(Token(_stranger, _now, _now + 60), keys, at));
            // Signed with a key of ours by who knows whom, for ten days: accepted as long as the key, and not a second longer.
            foreach (var key in _keys.TakeLast(3))
            {
                var forever = Token(key, _now, _now + 864_000);
                Assert.Equal(Expected(forever, key.KeyId), Outcome(forever, keys, at));
            }
            if (_states.Active is null) return;
            var contract = _states.ContractAt(Least, at);
            Assert.Equal(keys.AcceptedAt(at).Select(key => key.KeyId), contract.AcceptedKids);
            Assert.Equal(contract.ActiveKid, contract.SigningKids[0]);
            Assert.Contains(contract.ActiveKid, contract.AcceptedKids);
            Assert.Empty(contract.SigningKids.Intersect(contract.VerifyOnlyKids));
        }

        public void Dispose()
        {
            _keys.ForEach(key => key.Dispose());
            _stranger.Dispose();
        }

        /// <summary>The oracle.</summary>
        private Reason? Expected(ParsedToken token, KeyId key) =>
            token.Claims.ExpiresAt <= _now ? Reason.TokenExpired
            : _revokedAt.ContainsKey(key) ? Reason.TokenRevoked
            : _cutOff.TryGetValue(key, out long end) && _now > end ? Reason.TokenKidExpired
            : null;

        private static Reason? Outcome(ParsedToken token, VerificationKeySet keys, DateTimeOffset now)
        {
            try
            {
                JwsVerifier.Verify(token, keys, now);
                return null;
            }
            catch (Refusal refusal)
            {
                return refusal.Reason;
            }
        }

        private void Mint(long ttl)
        {
            if (_states.Active is not { } active) return;
            var key = _keys.Single(k => k.KeyId == active.KeyId);
            _tokens.Add((Token(key, _now, _now + ttl), key.KeyId));
            _longest = Math.Max(_longest, _now + ttl);
        }

        private void Rotate(bool emergency, long? overlap)
        {
            if (_states.Keys.Count(key => key.State != KeyState.Retired) > 20) return;
            var next = _states.Next ?? KeyEntry.Of(NewKey().VerificationKey, KeyState.Next);
            long begins = emergency ? _now : next.ActivatesAt ?? Math.Max(_now, (next.PublishedAt ?? _now) + Delay);
            Apply(_states.Rotating(next, begins, overlap));
            Pass();
        }

        private void Revoke(KeyId key)
        {
            if (_states.Find(key) is { IsRevoked: true }) return;
            try
            {
                Apply(_states.Revoked(key, allowLast: false, Held));
                _revokedAt.Add(key, _now);
            }
            catch (Refusal refusal) when (refusal.Reason is Reason.KeyStateConflict)
            {
                // Nothing could sign afterwards.
            }
        }

        /// <summary>Second by second where something is due, so that nothing is done late.</summary>
        private void Wait(long seconds)
        {
            for (long end = _now + seconds; _now < end;)
            {
                long due = _states.Keys.SelectMany(key => (long?[])[key.ActivatesAt, key.State == KeyState.VerifyOnly ? key.NotAfter + 1 : null]).Where(at => at > _now).Min() ?? end;
                _now = Math.Min(due, end);
                Pass();
            }
        }

        private void Pass()
        {
            while (true)
            {
                long cutOff = ForgetsLongest ? _now + Least : KeyStates.CutOff(_now, _longest, Least);
                var (active, next) = (_states.Active, _states.Next);
                var due = _states.Due(_now, cutOff, Held);
                if (due.Count == 0) return;
                if (due.Any(key => key.State == KeyState.Active))
                {
                    Assert.True(_published[next!.KeyId] + Delay <= _now || next.ActivatesAt <= _now, "a key signs before it can be known");
                    if (active is not null)
                    {
                        _replacedAt[active.KeyId] = _now;
                        // The oracle's own idea of it: what the rotation said, or long enough for every token there is.
                        _cutOff[active.KeyId] = next!.Overlap is { } said ? _now + said : Math.Max(_now + Least, _longest + KeyStates.IssuedMeanwhile);
                    }
                }
                Apply(due);
            }
        }

        private void Apply(IReadOnlyList<KeyEntry> changes)
        {
            foreach (var change in changes)
            {
                Assert.False(_states.Find(change.KeyId) is { State: KeyState.Retired } && change.State != KeyState.Retired, "a retired key comes back");
                _published.TryAdd(change.KeyId, _now);
            }
            _states = _states.With(changes.Select(change => change with { PublishedAt = _published[change.KeyId] }));
        }

        private bool Held(KeyId key) => _keys.Exists(held => held.KeyId == key);

        private SigningKey NewKey()
        {
            _keys.Add(new SigningKey(Seed(_keys.Count)));
            return _keys[^1];
        }

        private static ParsedToken Token(SigningKey key, long issuedAt, long expiresAt) =>
            TokenParser.Parse(TokenSigner.Sign(TestTokens.Claims() with { IssuedAt = issuedAt, ExpiresAt = expiresAt }, key).Compact);

        private static byte[] Seed(int number) => System.Security.Cryptography.SHA256.HashData(BitConverter.GetBytes(number));
    }
}
