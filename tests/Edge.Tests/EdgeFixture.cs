using ClawBureau.Introspector;
using ClawBureau.Issuer;
using ClawBureau.Testing;
using Microsoft.Extensions.DependencyInjection;

namespace ClawBureau.Edge.Tests;

/// <summary>
/// The suite behind an Edge: a database, an Issuer, an Introspector, a Verifier that says what a test tells it to, and an Edge
/// for each of the two ways to protect routes.
/// </summary>
public sealed class EdgeFixture : IAsyncLifetime
{
    public const string AdminKey = TestProcess.AdminKey;

    private TestDatabase _database = null!;

    /// <summary>The Edge in SCOPE_PROTECTED_AUTH_MODE=admin_token.</summary>
    public HttpFaceClient Http { get; private set; } = null!;

    /// <summary>The Edge in the default mode, canonical_cst.</summary>
    public HttpFaceClient Canonical { get; private set; } = null!;

    public TestProcess Issuer { get; private set; } = null!;
    public TestProcess Introspector { get; private set; } = null!;
    public FakeVerifier Verifier { get; private set; } = null!;

    /// <summary>The ledger's database, which the audit log may share.</summary>
    public TestDatabase Database => _database;

    /// <summary>Where every process of a suite has its certificate.</summary>
    public string Certificates => Path.GetDirectoryName(Issuer.CaFile)!;

    public async Task InitializeAsync()
    {
        _database = await TestDatabases.CreateAsync();
        Issuer = await StartIssuerAsync();
        // Patient: a busy machine is no reason to call the ledger unavailable here.
        var patient = new IntrospectorOptions { Database = _database.Introspector, PollDeadline = TimeSpan.FromSeconds(5), MostSilence = TimeSpan.FromSeconds(30) };
        Introspector = await TestProcess.StartReadyAsync("introspector", s =>
        {
            s.AddIntrospector();
            s.AddSingleton(patient);
        }, a => a.MapIntrospector(), new()
        {
            ["CLAW_DATABASE_INTROSPECTOR"] = _database.Introspector,
        });
        Verifier = await FakeVerifier.StartAsync(Certificates);
        Http = await StartEdgeAsync(new() { ["SCOPE_PROTECTED_AUTH_MODE"] = "admin_token", ["CLAW_EDGE_HTTP"] = "http://127.0.0.1:0" });
        Canonical = await StartEdgeAsync();
    }

    /// <summary>One more Issuer on the same ledger. Signs with vector o = 11; knows o = 39 past its cut-off and o = 77 long before it.</summary>
    public Task<TestProcess> StartIssuerAsync(Dictionary<string, string?>? settings = null) =>
        TestProcess.StartReadyAsync("issuer", s => s.AddIssuer(), a => a.MapIssuer(), new Dictionary<string, string?>
        {
            ["CLAW_DATABASE_ISSUER"] = _database.Issuer,
            ["SCOPE_SIGNING_KEY"] = Jwt.SeedOf(11),
            ["SCOPE_VERIFY_PUBLIC_KEYS_JSON"] = """
                [{"x":"D1jAZpCQF2p71WOgyYsIFYcTnYx-CaqtNFXMlwYM-aM","not_after_unix":1500000000},
                 {"x":"YJXpSzsdkJTe3GgbFyYf6Bh36h_AKZ0HP7FeERZ7Lmw","not_after_unix":4102444800}]
                """,
            ["SCOPE_ALLOWED_SCOPE_PREFIXES"] = "proxy:,clawproxy:,control:",
        }.With(settings));

    public async Task<HttpFaceClient> StartEdgeAsync(Dictionary<string, string?>? settings = null) => new(await TestProcess.StartReadyAsync("edge", s => s.AddEdge(), a => a.MapEdge(), new Dictionary<string, string?>
    {
        ["SCOPE_ADMIN_KEY"] = null,         // the Edge has no use for one
        ["CLAW_ISSUER"] = Issuer.Address.ToString(),
        ["CLAW_INTROSPECTOR"] = Introspector.Address.ToString(),
        ["CLAW_VERIFIER"] = Verifier.Address.ToString(),
        ["CLAW_LOG_LEVEL"] = "Trace",
    }.With(settings)));

    public async Task DisposeAsync()
    {
        foreach (var owned in (IAsyncDisposable[])[Canonical, Http, Introspector, Issuer]) await owned.DisposeAsync();
        await Verifier.DisposeAsync();
        await _database.DisposeAsync();
    }
}

/// <summary>The tests of this project share one suite; what they issue and revoke is each one's own.</summary>
[CollectionDefinition(Name)]
public sealed class EdgeSuite : ICollectionFixture<EdgeFixture>
{
    public const string Name = "edge";
}

internal static class SettingsExtensions
{
    public static Dictionary<string, string?> With(this Dictionary<string, string?> settings, Dictionary<string, string?>? more)
    {
        foreach (var (name, value) in more ?? []) settings[name] = value;
        return settings;
    }
}
