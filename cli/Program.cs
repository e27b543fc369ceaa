using System.CommandLine;
using ClawBureau.Cli;
using ClawBureau.Cli.Verbs;

var root = new RootCommand("Claw Bureau: scoped, short-lived tokens for agents; checked offline, taken back everywhere in milliseconds.")
{
    DemoVerb.Create(),
    UpVerb.Create(),
    MigrateVerb.Create(),
    TokenVerbs.Create(),
    RevokeVerb.Create(),
    WatchVerb.Create(),
};
return await Invocation.RunAsync(root, args);
