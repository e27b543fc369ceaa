using ClawBureau.AuditSink;
using ClawBureau.Hosting;

return await ServiceProcess.RunAsync(() =>
{
    var builder = ServiceProcess.CreateBuilder(args, "audit-sink");
    builder.Services.AddAuditSink();
    var app = builder.Build();
    app.MapAuditSink();
    return app;
});
