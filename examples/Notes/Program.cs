// A service of another team that takes scoped tokens: notes to read, to write, and to watch.
//   CLAW_ISSUER=https://… CLAW_INTROSPECTOR=https://… CLAW_TLS_CA_FILE=… NOTES_CERT_FILE=… NOTES_KEY_FILE=… dotnet run --project examples/Notes
using System.Collections.Concurrent;
using ClawBureau.Client;
using ClawBureau.Client.AspNetCore;

var builder = WebApplication.CreateBuilder(args);

// Where the suite is, and how this service shows who it is: that alone makes the verifier, the keys and the feed of revocations.
builder.Services.AddClawBureau(suite =>
{
    suite.Issuer = new Uri(Required("CLAW_ISSUER"));
    suite.Introspector = new Uri(Required("CLAW_INTROSPECTOR"));
    suite.CaFile = Required("CLAW_TLS_CA_FILE");
    suite.ClientCertFile = Required("NOTES_CERT_FILE");
    suite.ClientKeyFile = Required("NOTES_KEY_FILE");
});

// Every token must be for this service; what it may do here, its scopes say.
builder.Services.AddAuthentication(ClawBureauAuthentication.Scheme)
    .AddClawBureau(options => options.Requirements = new TokenRequirements { AudienceAny = ["notes.example"] });
builder.Services.AddAuthorizationBuilder()
    .AddPolicy("read", policy => policy.RequireClaim("scope", "clawproxy:notes.read", "clawproxy:notes.write"))
    .AddPolicy("write", policy => policy.RequireClaim("scope", "clawproxy:notes.write"));

var app = builder.Build();
app.UseAuthentication();
app.UseAuthorization();

var notes = new ConcurrentQueue<string>();
app.MapGet("/notes", () => notes).RequireAuthorization("read");
app.MapPost("/notes", async (HttpContext context) =>
{
    using var body = new StreamReader(context.Request.Body);
    notes.Enqueue(await body.ReadToEndAsync(context.RequestAborted));
    return Results.NoContent();
}).RequireAuthorization("write");

// Stays open, and ends by itself in the moment in which its token is revoked: AbortOnRevocation is the default.
app.MapGet("/notes/live", async (HttpContext context) =>
{
    context.Response.ContentType = "text/event-stream";
    for (int told = 0; ; await Task.Delay(TimeSpan.FromMilliseconds(100), context.RequestAborted))
    {
        foreach (var note in notes.Skip(told)) await context.Response.WriteAsync($"data: {note}\n\n", context.RequestAborted);
        if (told == 0) await context.Response.WriteAsync(": open\n\n", context.RequestAborted);
        told = Math.Max(told, notes.Count);
        await context.Response.Body.FlushAsync(context.RequestAborted);
    }
}).RequireAuthorization("read");

// How fresh the last answer was.
app.MapGet("/confidence", (HttpContext context) =>
{
    var confidence = context.Features.Get<VerifiedRequest>()!.Verification.Confidence;
    return new { source = confidence.Source.ToString(), revocation_age_ms = confidence.RevocationAge.TotalMilliseconds, lease_left_ms = confidence.LeaseLeft.TotalMilliseconds };
}).RequireAuthorization();

await app.RunAsync();

string Required(string name) => builder.Configuration[name] ?? throw new InvalidOperationException($"{name} is not set.");
