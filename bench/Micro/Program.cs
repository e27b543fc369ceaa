using BenchmarkDotNet.Running;

BenchmarkSwitcher.FromAssembly(typeof(ClawBureau.Micro.TokenBenchmarks).Assembly).Run(args);
