using ClawBureau.Hosting.Calls;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Edge;

/// <summary>One request as handlers see it.</summary>
internal sealed class EdgeCall
{
    private readonly HttpContext _http;

    public EdgeCall(HttpContext http, CallCorrelation correlation, Metadata.Entry? credential)
    {
        _http = http;
        var headers = new Metadata();
        correlation.AddTo(headers);
        if (credential is not null) headers.Add(credential);
        Options = new CallOptions(headers, cancellationToken: http.RequestAborted);
    }

    /// <summary>For the calls made on its behalf: the caller's credential and trace, and an end when he leaves.</summary>
    public CallOptions Options { get; }

    /// <summary>A part of the path between slashes, decoded; the first is empty.</summary>
    public string Segment(int index) => _http.Request.Path.Value!.Split('/')[index];

    public IQueryCollection Query => _http.Request.Query;

    public IHeaderDictionary Headers => _http.Request.Headers;

    /// <summary>The caller asks for server-sent events.</summary>
    public bool WantsEvents => _http.Request.GetTypedHeaders().Accept.Any(type => type.MediaType.Equals(EventStream, StringComparison.OrdinalIgnoreCase));

    public const string EventStream = "text/event-stream";

    public static bool IsForm(HttpRequest request) =>
        request.HasFormContentType && request.ContentType!.StartsWith("application/x-www-form-urlencoded", StringComparison.OrdinalIgnoreCase);

    /// <summary>Reads the body, whatever its content type says (clawscope-http.md 0), into the owning service's request.</summary>
    /// <exception cref="Refusal">INVALID_JSON, INVALID_REQUEST, or what <paramref name="map"/> throws.</exception>
    public async Task<T> ReadAsync<T>(Func<JsonBody, T> map)
    {
        using var bytes = new MemoryStream();
        await _http.Request.Body.CopyToAsync(bytes, _http.RequestAborted);
        using var body = JsonBody.Parse(bytes.GetBuffer().AsMemory(0, (int)bytes.Length));
        return map(body);
    }

    /// <summary>Reads a form-encoded body, of which one member counts.</summary>
    /// <exception cref="Refusal">INVALID_REQUEST: the member is absent, blank or there twice (RFC 6749 3.2).</exception>
    public async Task<string> ReadFormAsync(string name)
    {
        IFormCollection form;
        try
        {
            form = await _http.Request.ReadFormAsync(_http.RequestAborted);
        }
        catch (InvalidDataException)
        {
            throw new Refusal(Reason.InvalidRequest, "The form cannot be read");
        }
        return form[name] is [var only] && !JsText.IsBlank(only!) ? only! : throw Refusal.OfField(Reason.InvalidRequest, name, $"{name} is required, once");
    }

    /// <summary>
    /// The same where the contract judges the caller before his body: the body of a caller who may not ask is never spoken of.
    /// </summary>
    /// <param name="map">From the body.</param>
    /// <param name="askEmpty">Sends an empty request, which the service refuses with INVALID_REQUEST once it has admitted the caller.</param>
    public async Task<T> ReadAsync<T>(Func<JsonBody, T> map, Func<Task> askEmpty)
    {
        try
        {
            return await ReadAsync(map);
        }
        catch (Refusal)
        {
            await AdmitAsync(askEmpty);
            throw;
        }
    }

    /// <param name="askEmpty">Sends an empty request, which the service refuses with INVALID_REQUEST once it has admitted the caller.</param>
    /// <exception cref="Refusal">The caller is not admitted.</exception>
    public static async Task AdmitAsync(Func<Task> askEmpty)
    {
        try
        {
            await askEmpty();
        }
        catch (Refusal judged) when (judged.Reason == Reason.InvalidRequest)
        {
            // Admitted.
        }
    }
}
