using ClawBureau.Hosting;
using ClawBureau.Introspector;

return await ServiceProcess.RunAsync(() =>
{
    var builder = ServiceProcess.CreateBuilder(args, "introspector");
    builder.Services.AddIntrospector();
    var app = builder.Build();
    app.MapIntrospector();
    return app;
});
