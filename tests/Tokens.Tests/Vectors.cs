using System.Text.Json;

namespace ClawBureau.Tokens.Tests;

/// <summary>The published test data beside this file; Vectors/README.md names the sources.</summary>
internal static class Vectors
{
    internal static JsonElement Read(string name)
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Vectors", name)));
        return document.RootElement.Clone();
    }
}
