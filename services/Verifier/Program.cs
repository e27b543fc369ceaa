using ClawBureau.Hosting;
using ClawBureau.Verifier;

return await ServiceProcess.RunAsync(() =>
{
    var builder = ServiceProcess.CreateBuilder(args, "verifier");
    builder.Services.AddVerifier();
    var app = builder.Build();
    app.MapVerifier();
    return app;
});
