using ClawBureau.Protos.Control.V1;

namespace ClawBureau.Cli;

/// <summary>How the control plane's records are printed.</summary>
internal static class ControlPrint
{
    /// <param name="what">What happened, in a word or two.</param>
    /// <param name="act">Null: it stood so before.</param>
    public static void Outcome(string what, ControlAct? act)
    {
        Console.Out.WriteLine(what);
        if (act is not null) Terminal.Print("recorded", $"seq {act.Revision.Seq}");
    }

    public static void Controller(Controller controller)
    {
        Terminal.Print("controller", controller.ControllerDid);
        Terminal.Print("owner", controller.OwnerDid);
        Terminal.Print("state", controller.TransferState switch
        {
            TransferState.TransferPending => $"transfer pending to {controller.TransferToOwnerDid}",
            TransferState.Transferred => "transferred",
            _ => controller.Active ? "active" : "inactive",
        });
        if (controller.TransferExpiresAt is { } end) Terminal.Print("until", Terminal.Time(end.Seconds));
        Terminal.Print("scopes", string.Join(", ", controller.Policy.AllowedSensitiveScopes));
        Terminal.Print("policy", controller.Policy.PolicyHashB64U);
    }
}
