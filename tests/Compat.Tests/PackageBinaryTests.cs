using System.Reflection;
using System.Reflection.Emit;

namespace ClawBureau.Compat.Tests;

/// <summary>
/// The two gRPC packages are compiled against Grpc.Core.Api and Grpc.Net.Common. Whatever answers for these two here,
/// the stand-ins or the published assemblies, must hold all that the packages' binaries name.
/// </summary>
public sealed class PackageBinaryTests
{
    private static readonly HashSet<string> StandIns = ["Grpc.Core.Api", "Grpc.Net.Common"];

    public static TheoryData<string> Packages => new("Grpc.AspNetCore.Server", "Grpc.Net.Client");

    [Theory]
    [MemberData(nameof(Packages))]
    public void Every_type_and_member_a_package_names_is_there_with_that_signature(string package)
    {
        AssertNone(AskedBy(package).Except(OfferedHere()));
    }

    [Theory]
    [InlineData("Grpc.AspNetCore.Server", "type [Grpc.Core.Api]Grpc.Core.Metadata/Entry")]
    [InlineData(
        "Grpc.AspNetCore.Server",
        "[Grpc.Core.Api]Grpc.Core.Interceptors.Interceptor::UnaryServerHandler : "
        + "instance System.Threading.Tasks.Task`1<!!1> <2>(!!0, [Grpc.Core.Api]Grpc.Core.ServerCallContext, "
        + "[Grpc.Core.Api]Grpc.Core.UnaryServerMethod`2<!!0, !!1>)")]
    [InlineData("Grpc.Net.Client", "type [Grpc.Core.Api]Grpc.Core.AsyncDuplexStreamingCall`2 with 2 type arguments")]
    [InlineData(
        "Grpc.Net.Client",
        "[Grpc.Core.Api]Grpc.Core.Status::DefaultSuccess : valuetype [Grpc.Core.Api]Grpc.Core.Status")]
    [InlineData(
        "Grpc.Net.Client",
        "[Grpc.Net.Common]Grpc.Net.Compression.GzipCompressionProvider::.ctor : "
        + "instance Void (valuetype System.IO.Compression.CompressionLevel)")]
    public void The_reading_of_a_package_finds_references_known_to_be_in_it(string package, string reference)
    {
        Assert.Contains(reference, AskedBy(package));
    }

    [Theory]
    [MemberData(nameof(Packages))]
    public void Any_one_thing_taken_away_is_reported_as_missing(string package)
    {
        var asked = AskedBy(package);
        Assert.NotEmpty(asked);
        foreach (var reference in asked)
        {
            var offered = OfferedHere();
            offered.Remove(reference);
            Assert.Equal([reference], asked.Except(offered));
        }
    }

    [Fact]
    public void A_member_with_another_return_type_does_not_pass_for_the_one_asked_for()
    {
        var assembly = new PersistedAssemblyBuilder(new AssemblyName("Grpc.Core.Api"), typeof(object).Assembly);
        var type = assembly.DefineDynamicModule("Grpc.Core.Api")
            .DefineType("Grpc.Core.IMethod", TypeAttributes.Public | TypeAttributes.Interface | TypeAttributes.Abstract);
        const MethodAttributes getter =
            MethodAttributes.Public | MethodAttributes.Virtual | MethodAttributes.Abstract | MethodAttributes.NewSlot;
        type.DefineMethod("get_Name", getter, typeof(string), []);
        type.DefineMethod("get_FullName", getter, typeof(int), []);
        type.CreateType();
        using var image = new MemoryStream();
        assembly.Save(image);
        image.Position = 0;

        var missing = AskedBy("Grpc.Net.Client").Except(ApiSurface.Offered(image)).ToList();

        Assert.DoesNotContain("[Grpc.Core.Api]Grpc.Core.IMethod::get_Name : instance String ()", missing);
        Assert.Contains("[Grpc.Core.Api]Grpc.Core.IMethod::get_FullName : instance String ()", missing);
    }

    [Theory]
    [MemberData(nameof(Packages))]
    public void Every_type_of_a_package_loads_and_every_override_finds_its_base(string package)
    {
        const BindingFlags declared =
            BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

        // A base or interface member the package does not implement makes GetTypes throw. An override whose base is
        // gone stays silent: the runtime gives it a slot of its own and never calls it.
        var lost =
            from type in Assembly.Load(package).GetTypes()
            from method in type.GetMethods(declared)
            where method.IsVirtual && (method.Attributes & MethodAttributes.NewSlot) == 0
            where method.GetBaseDefinition() == method
            select $"{type}.{method}";

        AssertNone(lost);
    }

    [Theory]
    [MemberData(nameof(Packages))]
    public void The_assemblies_have_the_identity_that_a_package_asks_for(string package)
    {
        var references = Assembly.Load(package).GetReferencedAssemblies()
            .Where(reference => StandIns.Contains(reference.Name!))
            .ToList();

        Assert.Equal(StandIns.Count, references.Count);
        Assert.All(references, reference =>
        {
            var found = Assembly.Load(reference).GetName();
            Assert.Equal(reference.Version, found.Version);
            Assert.Equal(reference.GetPublicKeyToken(), found.GetPublicKeyToken());
        });
    }

    /// <summary>Like Assert.Empty, but shows every line in full.</summary>
    private static void AssertNone(IEnumerable<string> lines)
    {
        var text = string.Join(Environment.NewLine, lines);
        Assert.True(text.Length == 0, text);
    }

    private static HashSet<string> AskedBy(string package)
    {
        using var image = Open(package);
        return ApiSurface.Asked(image, StandIns);
    }

    private static HashSet<string> OfferedHere()
    {
        var offered = new HashSet<string>(StringComparer.Ordinal);
        foreach (var name in StandIns)
        {
            using var image = Open(name);
            offered.UnionWith(ApiSurface.Offered(image));
        }

        return offered;
    }

    private static FileStream Open(string assembly) =>
        File.OpenRead(Path.Combine(AppContext.BaseDirectory, assembly + ".dll"));
}
