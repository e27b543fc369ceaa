using System.Reflection;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace ClawBureau.Compat.Tests;

/// <summary>
/// The types and members that one assembly offers to others, or that it asks of others, each as one line of text.
/// Whatever is asked and not offered would fail at run time with a missing type or member.
/// </summary>
internal static class ApiSurface
{
    /// <summary>What code outside the assembly can name: public types, their public and protected members.</summary>
    public static HashSet<string> Offered(Stream assembly)
    {
        using var image = new PEReader(assembly);
        var reader = image.GetMetadataReader();
        var text = new SignatureText(reader);
        var lines = new HashSet<string>(StringComparer.Ordinal);
        foreach (var handle in reader.TypeDefinitions.Where(handle => IsVisible(reader, handle)))
        {
            var type = reader.GetTypeDefinition(handle);
            var name = text.Of(handle);
            lines.Add(TypeLine(name));
            lines.Add(InstantiationLine(name, type.GetGenericParameters().Count));
            foreach (var method in type.GetMethods().Select(reader.GetMethodDefinition).Where(IsVisible))
            {
                var signature = SignatureText.Of(method.DecodeSignature(text, null));
                lines.Add(MemberLine(name, reader.GetString(method.Name), signature));
            }

            foreach (var field in type.GetFields().Select(reader.GetFieldDefinition).Where(IsVisible))
            {
                lines.Add(MemberLine(name, reader.GetString(field.Name), field.DecodeSignature(text, null)));
            }
        }

        return lines;
    }

    /// <summary>What the assembly's references to <paramref name="owners"/> name.</summary>
    public static HashSet<string> Asked(Stream assembly, IReadOnlySet<string> owners)
    {
        using var image = new PEReader(assembly);
        var reader = image.GetMetadataReader();
        var text = new SignatureText(reader);
        var lines = new HashSet<string>(StringComparer.Ordinal);
        foreach (var handle in reader.TypeReferences.Where(handle => IsOwned(handle)))
        {
            lines.Add(TypeLine(text.Of(handle)));
        }

        foreach (var member in reader.MemberReferences.Select(reader.GetMemberReference))
        {
            var (type, arity) = OpenType(reader, member.Parent);
            if (!IsOwned(type))
            {
                continue;
            }

            var name = text.Of(type);
            var signature = member.GetKind() == MemberReferenceKind.Method
                ? SignatureText.Of(member.DecodeMethodSignature(text, null))
                : member.DecodeFieldSignature(text, null);
            lines.Add(InstantiationLine(name, arity));
            lines.Add(MemberLine(name, reader.GetString(member.Name), signature));
        }

        return lines;

        bool IsOwned(EntityHandle type) => text.Assembly(type) is { } owner && owners.Contains(owner);
    }

    private static string TypeLine(string type) => $"type {type}";

    private static string InstantiationLine(string type, int arity) => $"type {type} with {arity} type arguments";

    private static string MemberLine(string type, string member, string signature) => $"{type}::{member} : {signature}";

    /// <summary>The generic type behind an instantiation and the number of its arguments; any other type as it is.</summary>
    private static (EntityHandle Type, int Arity) OpenType(MetadataReader reader, EntityHandle parent)
    {
        if (parent.Kind != HandleKind.TypeSpecification)
        {
            return (parent, 0);
        }

        var blob = reader.GetBlobReader(reader.GetTypeSpecification((TypeSpecificationHandle)parent).Signature);
        if (blob.ReadSignatureTypeCode() != SignatureTypeCode.GenericTypeInstance)
        {
            return (parent, 0);
        }

        blob.ReadCompressedInteger(); // class or value type: the definition's own signature tells it
        return (blob.ReadTypeHandle(), blob.ReadCompressedInteger());
    }

    private static bool IsVisible(MetadataReader reader, TypeDefinitionHandle handle)
    {
        var type = reader.GetTypeDefinition(handle);
        return (type.Attributes & TypeAttributes.VisibilityMask) switch
        {
            TypeAttributes.Public => true,
            TypeAttributes.NestedPublic or TypeAttributes.NestedFamily or TypeAttributes.NestedFamORAssem =>
                IsVisible(reader, type.GetDeclaringType()),
            _ => false,
        };
    }

    private static bool IsVisible(MethodDefinition method) =>
        (method.Attributes & MethodAttributes.MemberAccessMask)
            is MethodAttributes.Public or MethodAttributes.Family or MethodAttributes.FamORAssem;

    private static bool IsVisible(FieldDefinition field) =>
        (field.Attributes & FieldAttributes.FieldAccessMask)
            is FieldAttributes.Public or FieldAttributes.Family or FieldAttributes.FamORAssem;
}
