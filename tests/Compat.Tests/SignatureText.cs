using System.Collections.Immutable;
using System.Reflection.Metadata;

namespace ClawBureau.Compat.Tests;

/// <summary>
/// Writes types and signatures from metadata as text, so that a reference in one assembly and a definition in
/// another compare as strings. Types of Grpc assemblies carry the assembly's name; framework types do not, because
/// reference assemblies differ in which of them holds a type. Class and value type are told apart, as the runtime does.
/// </summary>
internal sealed class SignatureText(MetadataReader reader) : ISignatureTypeProvider<string, object?>
{
    private const byte ValueTypeKind = 0x11;

    public string Of(EntityHandle type) => type.Kind switch
    {
        HandleKind.TypeDefinition => Name((TypeDefinitionHandle)type),
        HandleKind.TypeReference => Name((TypeReferenceHandle)type),
        _ => reader.GetTypeSpecification((TypeSpecificationHandle)type).DecodeSignature(this, null),
    };

    public static string Of(MethodSignature<string> signature)
    {
        var instance = signature.Header.IsInstance ? "instance " : "static ";
        var arity = signature.GenericParameterCount > 0 ? $"<{signature.GenericParameterCount}>" : "";
        return $"{instance}{signature.ReturnType} {arity}({string.Join(", ", signature.ParameterTypes)})";
    }

    /// <summary>The assembly that a reference leads to; null for this one or for none.</summary>
    public string? Assembly(EntityHandle scope) => scope.Kind switch
    {
        HandleKind.AssemblyReference =>
            reader.GetString(reader.GetAssemblyReference((AssemblyReferenceHandle)scope).Name),
        HandleKind.TypeReference => Assembly(reader.GetTypeReference((TypeReferenceHandle)scope).ResolutionScope),
        _ => null,
    };

    public string GetTypeFromDefinition(MetadataReader _, TypeDefinitionHandle handle, byte rawTypeKind) =>
        Kind(rawTypeKind) + Name(handle);

    public string GetTypeFromReference(MetadataReader _, TypeReferenceHandle handle, byte rawTypeKind) =>
        Kind(rawTypeKind) + Name(handle);

    public string GetTypeFromSpecification(
        MetadataReader _, object? context, TypeSpecificationHandle handle, byte rawTypeKind) => Of(handle);

    public string GetPrimitiveType(PrimitiveTypeCode typeCode) => typeCode.ToString();

    public string GetGenericInstantiation(string genericType, ImmutableArray<string> typeArguments) =>
        $"{genericType}<{string.Join(", ", typeArguments)}>";

    public string GetGenericTypeParameter(object? context, int index) => $"!{index}";

    public string GetGenericMethodParameter(object? context, int index) => $"!!{index}";

    public string GetArrayType(string elementType, ArrayShape shape) =>
        $"{elementType}[rank {shape.Rank}]";

    public string GetSZArrayType(string elementType) => $"{elementType}[]";

    public string GetByReferenceType(string elementType) => $"{elementType}&";

    public string GetPointerType(string elementType) => $"{elementType}*";

    public string GetPinnedType(string elementType) => $"{elementType} pinned";

    public string GetFunctionPointerType(MethodSignature<string> signature) => $"*{Of(signature)}";

    public string GetModifiedType(string modifier, string unmodifiedType, bool isRequired) =>
        $"{unmodifiedType} {(isRequired ? "modreq" : "modopt")}({modifier})";

    private static string Kind(byte rawTypeKind) => rawTypeKind == ValueTypeKind ? "valuetype " : "";

    private static string Scoped(string? assembly, string name) =>
        assembly?.StartsWith("Grpc.", StringComparison.Ordinal) == true ? $"[{assembly}]{name}" : name;

    private string Name(TypeDefinitionHandle handle)
    {
        var type = reader.GetTypeDefinition(handle);
        return type.GetDeclaringType() is { IsNil: false } outer
            ? $"{Name(outer)}/{reader.GetString(type.Name)}"
            : Scoped(reader.GetString(reader.GetAssemblyDefinition().Name), FullName(type.Namespace, type.Name));
    }

    private string Name(TypeReferenceHandle handle)
    {
        var type = reader.GetTypeReference(handle);
        return type.ResolutionScope.Kind == HandleKind.TypeReference
            ? $"{Name((TypeReferenceHandle)type.ResolutionScope)}/{reader.GetString(type.Name)}"
            : Scoped(Assembly(type.ResolutionScope), FullName(type.Namespace, type.Name));
    }

    private string FullName(StringHandle space, StringHandle name) =>
        space.IsNil ? reader.GetString(name) : $"{reader.GetString(space)}.{reader.GetString(name)}";
}
