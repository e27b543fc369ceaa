namespace Grpc.Core;

/// <summary>Decides whether the peer's certificate is accepted. May run concurrently.</summary>
public delegate bool VerifyPeerCallback(VerifyPeerContext context);
