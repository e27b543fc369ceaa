using System.CommandLine;
using System.CommandLine.Help;
using ClawBureau.Cli;
using ClawBureau.Cli.Verbs;

// Not a RootCommand: that one calls itself after the assembly, and people type `claw`.
var root = new Command("claw", "Claw Bureau: scoped, short-lived tokens for agents; checked offline, taken back everywhere in milliseconds.")
{
    DemoVerb.Create(),
    UpVerb.Create(),
    DownVerb.Create(),
    StatusVerb.Create(),
    DoctorVerb.Create(),
    PrepareVerb.Create(),
    MigrateVerb.Create(),
    TokenVerbs.Create(),
    RevokeVerb.Create(),
    LiftVerb.Create(),
    DidVerbs.Create(),
    ControllerVerbs.Create(),
    IdentityVerbs.Create(),
    PolicyVerbs.Create(),
    KeyVerbs.Create(),
    BenchVerb.Create(),
    WatchVerb.Create(),
    AuditVerbs.Create(),
    LedgerVerbs.Create(),
};
root.Subcommands.Add(GrammarVerb.Create(root));
root.Options.Add(new HelpOption { Recursive = true });
root.Options.Add(new VersionOption());
return await Invocation.RunAsync(root, args);
