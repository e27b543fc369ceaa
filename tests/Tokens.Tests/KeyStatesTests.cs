namespace ClawBureau.Tokens.Tests;

public sealed class KeyStatesTests
{
    private const long Now = 1_795_194_899;

    [Fact]
    public void The_first_seed_signs_at_once_and_every_later_one_waits()
    {
        var states = KeyStates.None.With(KeyStates.None.Found([Public(11), Public(23)]));
        Assert.Equal([(Kid(11), KeyState.Active), (Kid(23), KeyState.Next)], States(states));
        Assert.Equal([(Kid(39), KeyState.Next)], States(new KeyStates(states.Found([Public(11), Public(39)]))));
    }

    [Fact]
    public void A_next_key_is_active_at_its_time_and_not_before_and_only_by_who_holds_it()
    {
        var states = Of(Entry(11, KeyState.Active), Entry(23, KeyState.Next) with { ActivatesAt = Now });
        Assert.Empty(states.Due(Now - 1, Now + 3600, _ => true));
        Assert.Empty(states.Due(Now, Now + 3600, _ => false));
        var after = states.With(states.Due(Now, Now + 3600, _ => true));
        Assert.Equal([(Kid(23), KeyState.Active), (Kid(11), KeyState.VerifyOnly)], States(after));
        Assert.Equal(Now + 3600, after.Find(KeyId.Parse(Kid(11)))!.NotAfter);
    }

    [Fact]
    public void A_key_with_a_cut_off_of_its_own_is_never_given_a_later_one()
    {
        var states = Of(Entry(11, KeyState.Active) with { NotAfter = Now + 10 }, Entry(23, KeyState.Next) with { ActivatesAt = Now });
        Assert.Equal(Now + 10, states.With(states.Due(Now, Now + 3600, _ => true)).Find(KeyId.Parse(Kid(11)))!.NotAfter);
    }

    [Fact]
    public void A_key_is_accepted_in_the_second_of_its_cut_off_and_retired_after_it()
    {
        var states = Of(Entry(11, KeyState.Active), Entry(23, KeyState.VerifyOnly) with { NotAfter = Now });
        Assert.Empty(states.Due(Now, 0, _ => true));
        Assert.Equal([(Kid(23), KeyState.Retired)], States(new KeyStates(states.Due(Now + 1, 0, _ => true))));
    }

    [Fact]
    public void A_revoked_active_key_gives_way_to_the_next_one_or_is_the_last()
    {
        var two = Of(Entry(11, KeyState.Active), Entry(23, KeyState.Next));
        Assert.Equal([(Kid(23), KeyState.Active), (Kid(11), KeyState.Retired)], States(two.With(two.Revoked(KeyId.Parse(Kid(11)), allowLast: false, _ => true))));

        var one = Of(Entry(11, KeyState.Active));
        Assert.Equal(Reason.KeyStateConflict, TestTokens.Refused(() => one.Revoked(KeyId.Parse(Kid(11)), allowLast: false, _ => true)).Reason);
        Assert.Equal(Reason.KeyStateConflict, TestTokens.Refused(() => two.Revoked(KeyId.Parse(Kid(11)), allowLast: false, _ => false)).Reason);
        Assert.Equal([(Kid(11), KeyState.Retired)], States(one.With(one.Revoked(KeyId.Parse(Kid(11)), allowLast: true, _ => true))));
        Assert.Equal(Reason.KeyNotFound, TestTokens.Refused(() => one.Revoked(KeyId.Parse(Kid(39)), allowLast: true, _ => true)).Reason);
    }

    [Fact]
    public void A_configuration_says_which_key_signs_and_the_one_it_no_longer_names_goes_on_being_accepted_for_a_while()
    {
        var states = Of(Entry(11, KeyState.Active));
        using var ring = KeyRing.FromSeeds([TestTokens.Seed(23), TestTokens.Seed(39)], [Public(77)]);
        var after = states.With(states.Configured(ring, Now + 3600));
        Assert.Equal([(Kid(23), KeyState.Active), (Kid(39), KeyState.VerifyOnly), (Kid(11), KeyState.VerifyOnly), (Kid(77), KeyState.VerifyOnly)], States(after));
        Assert.Equal([true, true, false, false], after.Keys.Select(key => key.CanSign));
        Assert.Equal([false, false, false, true], after.Keys.Select(key => key.IsForeign));
        Assert.Equal(Now + 3600, after.Keys[2].NotAfter);
        Assert.Empty(after.Configured(ring, Now + 7200));
    }

    [Fact]
    public void A_verify_only_copy_of_a_key_in_the_folder_gives_it_its_cut_off_and_a_stranger_is_foreign()
    {
        var states = Of(Entry(11, KeyState.Active), Entry(23, KeyState.VerifyOnly) with { NotAfter = Now + 100 });
        var after = states.With(states.Foreign([
            new VerificationKey(Public(11).PublicKey, notAfter: Now + 50), new VerificationKey(Public(23).PublicKey, notAfter: Now + 900), Public(39)]));
        Assert.Equal([Now + 50, Now + 100, null], after.Keys.Select(key => key.NotAfter));
        Assert.Equal([(Kid(11), false), (Kid(23), false), (Kid(39), true)], after.Keys.Select(key => (key.KeyId.ToString(), key.IsForeign)));
    }

    [Fact]
    public void However_many_keys_were_retired_those_that_live_are_verified_with()
    {
        var keys = Enumerable.Range(1000, 100).Select(i => Entry(i, KeyState.Retired) with { PublishedAt = i }).Append(Entry(11, KeyState.Active));
        var set = new KeyStates(keys).ToVerificationKeys();
        Assert.Equal(TokenLimits.MaxKeys, set.Keys.Count);
        Assert.NotNull(set.Find(KeyId.Parse(Kid(11))));
        Assert.NotNull(set.Find(Entry(1099, KeyState.Retired).KeyId));
        Assert.Null(set.Find(Entry(1000, KeyState.Retired).KeyId));
    }

    [Fact]
    public void What_a_revoked_key_signed_is_revoked_and_what_merely_names_it_is_not_signed()
    {
        using var key = TestTokens.Key(11);
        var keys = Of(Entry(11, KeyState.Retired) with { IsRevoked = true }, Entry(23, KeyState.Active)).ToVerificationKeys();
        var token = TokenParser.Parse(TokenSigner.Sign(TestTokens.Claims(), key).Compact);
        Assert.Equal(Reason.TokenRevoked, TestTokens.Refused(() => JwsVerifier.Verify(token, keys, TestTokens.Now)).Reason);
        Assert.Equal(token.TokenHash, JwsVerifier.VerifyRevoked(token, keys).TokenHash);

        using var other = TestTokens.Key(39);
        var forged = TokenParser.Parse(TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(), other));
        Assert.Equal(Reason.TokenSignatureInvalid, TestTokens.Refused(() => JwsVerifier.Verify(forged, keys, TestTokens.Now)).Reason);
    }

    [Theory]
    [InlineData(TokenAlgorithm.EdDsa)]
    [InlineData(TokenAlgorithm.Ed25519)]
    public void Both_names_of_the_algorithm_are_accepted_under_the_same_key(TokenAlgorithm name)
    {
        using var key = TestTokens.Key(11);
        var signed = TokenSigner.Sign(TestTokens.Claims(), key, name);
        Assert.Equal(key.KeyId, TestTokens.Verify(signed.Compact, key).KeyId);
        Assert.Equal(signed.Compact, TokenSigner.Resign(signed.SigningInput.Span, key).Compact);
    }

    private static KeyStates Of(params KeyEntry[] keys) => new(keys);

    private static KeyEntry Entry(int offset, KeyState state) => KeyEntry.Of(Public(offset), state) with { PublishedAt = Now - 1000 };

    private static VerificationKey Public(int offset)
    {
        using var key = new SigningKey(offset < 256 ? TestTokens.Seed(offset) : System.Security.Cryptography.SHA256.HashData(BitConverter.GetBytes(offset)));
        return key.VerificationKey.With(KeyState.VerifyOnly, null);
    }

    private static string Kid(int offset) => Public(offset).KeyId.ToString();

    private static IEnumerable<(string, KeyState)> States(KeyStates states) => states.Keys.Select(key => (key.KeyId.ToString(), key.State));
}
