using ClawBureau.Edge;
using ClawBureau.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;

return await ServiceProcess.RunAsync(() =>
{
    var builder = ServiceProcess.CreateBuilder(args, "edge", HttpProtocols.Http1AndHttp2);
    builder.Services.AddEdge();
    var app = builder.Build();
    app.MapEdge();
    return app;
});
