using ClawBureau.Ledger;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using GroupKind = ClawBureau.Protos.Types.V1.GroupKind;

namespace ClawBureau.Issuer;

/// <summary>Groups and blocks between the wire and this service.</summary>
internal static class BlockMapping
{
    private const int MostValue = 512;

    /// <exception cref="Refusal">GROUP_INVALID: kind and value do not fit together; FIELD_TOO_LONG; TEXT_NOT_STORABLE.</exception>
    public static GroupOrder ToOrder(Group? group)
    {
        if (group is null || group.Kind is GroupKind.Unspecified || !System.Enum.IsDefined(group.Kind))
            throw Refusal.OfField(Reason.GroupInvalid, "kind", "The group has no kind that can be blocked");
        if (group.Value.Length > MostValue) throw Refusal.OfField(Reason.FieldTooLong, "value");
        StorableText.Require(group.Value, "value");
        if (group.OwnerScope.Length > 0 && !Did.TryParse(group.OwnerScope, out _))
            throw Refusal.OfField(Reason.GroupInvalid, "owner_scope", "owner_scope must be a DID");
        if (!Fits(group.Kind, group.Value)) throw Refusal.OfField(Reason.GroupInvalid, "value");

        var kind = (RevocationKind)group.Kind;
        var owner = group.OwnerScope.Length > 0 ? group.OwnerScope : kind == RevocationKind.Owner ? group.Value : null;
        return new GroupOrder(GroupKey.Of(kind, group.OwnerScope, group.Value), group.OwnerScope, owner);
    }

    /// <summary>Whether a token's claim can have this value; one that none can have would be a block of nothing, taken for one of something.</summary>
    private static bool Fits(GroupKind kind, string value) => kind switch
    {
        GroupKind.Everything => value.Length == 0,
        GroupKind.Agent or GroupKind.Controller or GroupKind.Owner or GroupKind.Delegator => Did.TryParse(value, out _),
        GroupKind.KeyId => KeyId.TryParse(value, out _),
        GroupKind.Subject or GroupKind.Delegation or GroupKind.Mission => !JsText.IsBlank(value),
        _ => false,
    };

    public static Block ToBlock(GroupOrder order, ActOutcome outcome, bool blocked)
    {
        var block = new Block
        {
            Kind = (GroupKind)order.Key.Kind,
            Key = ByteString.CopyFrom(order.Key.Hash),
            Blocked = blocked,
            ChangedAt = Timestamp.FromDateTimeOffset(outcome.RecordedAt),
            Seq = outcome.Seq.Value,
            RevocationSeq = outcome.RevocationSeq.Value,
        };
        if (outcome.Cut > 0) block.Cut = new Timestamp { Seconds = outcome.Cut };
        return block;
    }
}
