namespace ClawBureau.Stack;

/// <summary>Where a service's program lies beside the command that starts it.</summary>
internal static class ServiceBinary
{
    /// <exception cref="StackException">It has not been built.</exception>
    public static string Find(string service)
    {
        var file = $"ClawBureau.{service}.dll";
        return Candidates(service).Select(f => Path.Combine(f, file)).FirstOrDefault(File.Exists)
            ?? throw new StackException($"{file} was not found: build the solution first (`./claw` does it).");
    }

    private static IEnumerable<string> Candidates(string service)
    {
        if (Environment.GetEnvironmentVariable("CLAW_SERVICES") is { Length: > 0 } installed) yield return Path.Combine(installed, service);
        var here = new DirectoryInfo(AppContext.BaseDirectory);
        yield return Path.Combine(here.FullName, "services", service);
        // A build tree: …/<project>/bin/<configuration>/<framework>/ , the same parts for every project.
        var (framework, configuration) = (here.Name, here.Parent?.Name ?? "");
        for (var folder = here; folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "ClawBureau.sln")))
                yield return Path.Combine(folder.FullName, "services", service, "bin", configuration, framework);
        // `--artifacts-path`: …/bin/<project>/<configuration>/
        yield return Path.Combine(here.FullName, "..", "..", service, here.Name);
    }
}
