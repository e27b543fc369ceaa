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

    public IQueryCollection Query => _http.Request.Query;

    /// <summary>Reads the body, whatever its content type says (clawscope-http.md 0), into the owning service's request.</summary>
    /// <exception cref="Refusal">INVALID_JSON, INVALID_REQUEST, or what <paramref name="map"/> throws.</exception>
    public async Task<T> ReadAsync<T>(Func<JsonBody, T> map)
    {
        using var bytes = new MemoryStream();
        await _http.Request.Body.CopyToAsync(bytes, _http.RequestAborted);
        using var body = JsonBody.Parse(bytes.GetBuffer().AsMemory(0, (int)bytes.Length));
        return map(body);
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
            try
            {
                await askEmpty();
            }
            catch (Refusal judged) when (judged.Reason == Reason.InvalidRequest)
            {
                // Admitted.
            }
            throw;
        }
    }
}
