using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using ClawBureau.Micro;

// In this process, because a clock of one's own does not reach another.
var job = Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance).WithClock(new CpuClock());
BenchmarkSwitcher.FromAssembly(typeof(TokenBenchmarks).Assembly).Run(args, DefaultConfig.Instance.AddJob(job));
