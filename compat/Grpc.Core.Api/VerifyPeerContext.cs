namespace Grpc.Core;

/// <summary>The peer whose certificate is to be accepted.</summary>
public class VerifyPeerContext
{
    internal VerifyPeerContext(string targetName, string peerPem)
    {
        TargetName = targetName;
        PeerPem = peerPem;
    }

    public string TargetName { get; }

    /// <summary>The peer's certificate, PEM text.</summary>
    public string PeerPem { get; }
}
