namespace ClawBureau.Hosting;

/// <summary>
/// A process that must not start: its configuration cannot be read, or is not safe. The message is the one sentence an operator
/// sees; it names what is wrong and what to do, and never holds a secret's value.
/// </summary>
public sealed class StartRefused(string sentence, Exception? inner = null) : Exception(sentence, inner);
