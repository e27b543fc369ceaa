using ClawBureau.Hosting;
using ClawBureau.Issuer;

return await ServiceProcess.RunAsync(() =>
{
    var builder = ServiceProcess.CreateBuilder(args, "issuer");
    builder.Services.AddIssuer();
    var app = builder.Build();
    app.MapIssuer();
    return app;
});
