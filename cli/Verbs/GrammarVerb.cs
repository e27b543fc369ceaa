using System.CommandLine;
using System.CommandLine.Help;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw grammar`: every verb with its arguments and options, for whoever writes completions, and for the test of docs/cli.md. Not shown in help.</summary>
internal static class GrammarVerb
{
    public static Command Create(Command root)
    {
        var command = new Command("grammar", "Print every verb with its arguments and options as one JSON object.") { Hidden = true };
        command.SetAction(_ => Terminal.PrintJson(new { verbs = Leaves(root, "").ToList() }));
        return command;
    }

    private static IEnumerable<object> Leaves(Command command, string path)
    {
        foreach (var verb in command.Subcommands.Where(c => !c.Hidden))
        {
            var name = $"{path} {verb.Name}".Trim();
            if (verb.Subcommands.Any(c => !c.Hidden))
            {
                foreach (var leaf in Leaves(verb, name)) yield return leaf;
            }
            else
            {
                yield return new
                {
                    name,
                    description = verb.Description,
                    arguments = verb.Arguments.Where(a => !a.Hidden).Select(a => a.Name),
                    options = verb.Options.Where(o => !o.Hidden && o is not HelpOption).Select(o => o.Name),
                };
            }
        }
    }
}
