using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Hosting.Refusals;

/// <summary>What reasons.proto says about one reason.</summary>
/// <param name="Reason">The reason.</param>
/// <param name="Code">As it travels: <c>TOKEN_REVOKED</c>.</param>
/// <param name="Sentence">For people, unless the refusal brings its own.</param>
/// <param name="GrpcCode">The status of a call that ends with it.</param>
/// <param name="HttpStatus">Over HTTP, where a route has no other.</param>
/// <param name="Remedy">What the caller should do.</param>
public sealed record ReasonEntry(Reason Reason, string Code, string Sentence, StatusCode GrpcCode, int HttpStatus, string Remedy);
