namespace ClawBureau.Issuer.Control;

/// <summary>What a challenge is signed for, as messages and records name it (control-plane-http.md 2.2, 2.3, 2.9).</summary>
internal static class Purpose
{
    public const string Bind = "bind";
    public const string Revoke = "revoke";
    public const string RegisterController = "register_controller";
    public const string RegisterAgent = "register_agent";
    public const string UpdateSensitivePolicy = "update_sensitive_policy";
    public const string ConfirmRotation = "confirm_rotation";
    public const string RequestTransfer = "transfer_controller_request";
    public const string ConfirmTransfer = "transfer_controller_confirm";
    public const string CancelTransfer = "transfer_controller_cancel";
    public const string ExportIdentity = "export_identity";
    public const string ImportIdentity = "import_identity";
    public const string ExchangeToken = "scope_exchange";
}
