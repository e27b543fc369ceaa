using System.Reflection;
using Grpc.Core;

namespace ClawBureau.Compat.Tests;

/// <summary>What the abstractions promise by themselves, without a connection.</summary>
public sealed class AbstractionTests
{
    [Fact]
    public void Metadata_keys_are_lower_cased_and_found_in_any_case()
    {
        var metadata = new Metadata { { "X-Key", "first" }, { "x-key", "last" } };

        Assert.Equal("x-key", metadata[0].Key);
        Assert.Equal("last", metadata.GetValue("X-KEY"));
        Assert.Equal(["first", "last"], metadata.GetAll("x-Key").Select(entry => entry.Value));
        Assert.Null(metadata.Get("other"));
    }

    [Theory]
    [InlineData("with space")]
    [InlineData("umlaut-ü")]
    [InlineData("colon:")]
    public void A_metadata_key_with_another_character_is_refused(string key)
    {
        Assert.Throws<ArgumentException>(() => new Metadata.Entry(key, "value"));
    }

    [Fact]
    public void Only_keys_that_end_in_bin_carry_bytes()
    {
        Assert.Throws<ArgumentException>(() => new Metadata.Entry("key-bin", "text"));
        Assert.Throws<ArgumentException>(() => new Metadata.Entry("key", [1]));
        Assert.Throws<InvalidOperationException>(() => new Metadata.Entry("key-bin", [1]).Value);
        Assert.Equal("text"u8.ToArray(), new Metadata.Entry("key", "text").ValueBytes);
    }

    [Fact]
    public void A_binary_entry_does_not_change_with_the_arrays_given_or_taken()
    {
        byte[] given = [1, 2];
        var entry = new Metadata.Entry("key-bin", given);
        given[0] = 9;
        entry.ValueBytes[1] = 9;

        Assert.Equal([1, 2], entry.ValueBytes);
    }

    [Fact]
    public void The_empty_metadata_stays_empty()
    {
        Assert.True(Metadata.Empty.IsReadOnly);
        Assert.Throws<InvalidOperationException>(() => Metadata.Empty.Add("key", "value"));
        Assert.Throws<InvalidOperationException>(Metadata.Empty.Clear);
    }

    [Fact]
    public void A_status_writes_itself_and_is_the_message_of_its_exception()
    {
        var status = new Status(StatusCode.NotFound, "no such token");
        const string text = "Status(StatusCode=\"NotFound\", Detail=\"no such token\")";

        Assert.Equal(text, status.ToString());
        Assert.Equal(text, new RpcException(status).Message);
        Assert.Equal("other", new RpcException(status, "other").Message);
        Assert.Same(Metadata.Empty, new RpcException(status).Trailers);
    }

    [Fact]
    public void Call_options_change_one_thing_at_a_time()
    {
        var headers = new Metadata();
        var deadline = DateTime.UnixEpoch;
        var options = new CallOptions(headers).WithDeadline(deadline).WithWaitForReady();

        Assert.Same(headers, options.Headers);
        Assert.Equal(deadline, options.Deadline);
        Assert.True(options.IsWaitForReady);
        Assert.False(options.WithWaitForReady(false).IsWaitForReady);
        Assert.Null(options.Credentials);
    }

    [Fact]
    public void Composed_credentials_need_at_least_two_parts()
    {
        var one = CallCredentials.FromInterceptor((_, _) => Task.CompletedTask);

        Assert.Throws<ArgumentException>(() => CallCredentials.Compose(one));
    }

    [Fact]
    public void A_service_definition_takes_each_method_once_and_hands_them_on_in_order()
    {
        UnaryServerMethod<string, string> handler = (request, _) => Task.FromResult(request);
        var builder = ServerServiceDefinition.CreateBuilder()
            .AddMethod(UnaryMethod("First"), handler)
            .AddMethod(UnaryMethod("Second"), handler);
        Assert.Throws<ArgumentException>(() => builder.AddMethod(UnaryMethod("First"), handler));
        var binder = new ListingBinder();

        builder.Build().BindService(binder);

        Assert.Equal(["/test.Service/First", "/test.Service/Second"], binder.Bound);
    }

    [Fact]
    public async Task A_client_without_a_channel_can_only_be_doubled()
    {
        await Assert.ThrowsAsync<NotImplementedException>(
            async () => await new Double().SayAsync(new SayRequest(), new CallOptions()));
    }

    [Fact]
    public async Task A_call_made_from_ready_parts_shows_them()
    {
        var trailers = new Metadata { { "key", "value" } };
        var disposed = false;
        var call = new AsyncUnaryCall<string>(
            Task.FromResult("response"),
            Task.FromResult(Metadata.Empty),
            () => Status.DefaultSuccess,
            () => trailers,
            () => disposed = true);

        Assert.Equal("response", await call);
        Assert.Same(Metadata.Empty, await call.ResponseHeadersAsync);
        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
        Assert.Same(trailers, call.GetTrailers());
        call.Dispose();
        Assert.True(disposed);
    }

    [Fact]
    public void The_version_is_that_of_the_package_answered_for()
    {
        var assembly = typeof(Metadata).Assembly;
        var version = assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;

        Assert.Equal(VersionInfo.CurrentAssemblyVersion, assembly.GetName().Version!.ToString());
        Assert.StartsWith(VersionInfo.CurrentVersion, version, StringComparison.Ordinal);
    }

    private static Method<string, string> UnaryMethod(string name) =>
        new(MethodType.Unary, "test.Service", name, Marshallers.StringMarshaller, Marshallers.StringMarshaller);

    private sealed class ListingBinder : ServiceBinderBase
    {
        public List<string> Bound { get; } = [];

        public override void AddMethod<TRequest, TResponse>(
            Method<TRequest, TResponse> method, UnaryServerMethod<TRequest, TResponse>? handler) =>
            Bound.Add(method.FullName);
    }

    private sealed class Double : EchoService.EchoServiceClient;
}
