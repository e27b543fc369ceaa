"""grpcio with reflection alone: no generated code, no .proto files. Issue, introspect, watch, revoke, see it on the stream.

    python3 reflection.py STACK.JSON
"""
import json
import queue
import sys
from urllib.parse import urlparse

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool

try:
    from google.protobuf.message_factory import GetMessageClass
except ImportError:  # protobuf before 4.22
    from google.protobuf.message_factory import MessageFactory
    GetMessageClass = MessageFactory().GetPrototype

FIELD = descriptor_pb2.FieldDescriptorProto
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


def bootstrap():
    """The two messages a client must know before it can ask for the others."""
    file = descriptor_pb2.FileDescriptorProto(name="bootstrap.proto", package="bootstrap", syntax="proto3")
    request = file.message_type.add(name="Request")
    request.field.add(name="file_containing_symbol", number=4, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
    files = file.message_type.add(name="Files")
    files.field.add(name="file_descriptor_proto", number=1, type=FIELD.TYPE_BYTES, label=FIELD.LABEL_REPEATED)
    response = file.message_type.add(name="Response")
    response.field.add(name="files", number=4, type=FIELD.TYPE_MESSAGE, type_name=".bootstrap.Files", label=FIELD.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return [GetMessageClass(pool.FindMessageTypeByName("bootstrap." + name)) for name in ("Request", "Response")]


class Service:
    """A service as its own server describes it."""

    def __init__(self, channel, name, metadata):
        request, response = bootstrap()
        ask = channel.stream_stream(REFLECTION, request_serializer=request.SerializeToString, response_deserializer=response.FromString)
        answer = next(ask(iter([request(file_containing_symbol=name)]), timeout=10))
        files = {}
        for raw in answer.files.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(raw)
            files[file.name] = file
        self.pool = descriptor_pool.DescriptorPool()
        added = set()

        def add(file):
            if file.name in added:
                return
            added.add(file.name)
            for imported in file.dependency:
                add(files[imported])
            self.pool.Add(file)

        for file in files.values():
            add(file)
        self.channel, self.name, self.metadata = channel, name, metadata
        self.descriptor = self.pool.FindServiceByName(name)

    def message(self, method, **fields):
        return GetMessageClass(self.descriptor.methods_by_name[method].input_type)(**fields)

    def unary(self, method, **fields):
        described = self.descriptor.methods_by_name[method]
        call = self.channel.unary_unary(f"/{self.name}/{method}", request_serializer=lambda m: m.SerializeToString(),
                                        response_deserializer=GetMessageClass(described.output_type).FromString)
        return call(self.message(method, **fields), timeout=10, metadata=self.metadata)

    def duplex(self, method, requests):
        described = self.descriptor.methods_by_name[method]
        call = self.channel.stream_stream(f"/{self.name}/{method}", request_serializer=lambda m: m.SerializeToString(),
                                          response_deserializer=GetMessageClass(described.output_type).FromString)
        return call(requests, timeout=20, metadata=self.metadata)


def main(stack_file):
    with open(stack_file) as file:
        stack = json.load(file)
    with open(stack["ca_file"], "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    with open(stack["admin_key_file"]) as file:
        metadata = [("authorization", "Bearer " + file.read().strip())]
    issuer, introspector = (grpc.secure_channel(urlparse(stack[name]).netloc, credentials) for name in ("issuer", "introspector"))
    issuance = Service(issuer, "clawbureau.issuance.v1.IssuanceService", metadata)
    revocation = Service(issuer, "clawbureau.revocation.v1.RevocationService", metadata)
    introspection = Service(introspector, "clawbureau.introspection.v1.IntrospectionService", metadata)
    feed = Service(introspector, "clawbureau.feed.v1.FeedService", metadata)
    failed = []

    def check(holds, what):
        print(("ok  " if holds else "FAIL") + " " + what)
        if not holds:
            failed.append(what)

    issued = issuance.unary("IssueToken", sub="did:key:z6MkexUHYgwzaCh2sFFQtiZW9TenLJ34wmk5CqDUSX9HPEcC",
                            aud={"values": ["clawproxy.example"]}, scope=["clawproxy:call"], run_id="python")
    check(len(issued.token.split(".")) == 3, "grpcio: a token is issued, described by reflection alone")
    check(introspection.unary("IntrospectToken", token=issued.token).active, "grpcio: it introspects active")

    requests = queue.Queue()
    requests.put(feed.message("WatchRevocations", start={}))
    frames = feed.duplex("WatchRevocations", iter(requests.get, None))
    for frame in frames:
        if frame.WhichOneof("frame") == "caught_up":
            break
    answer = revocation.unary("RevokeTokens", targets=[{"token_hash": issued.token_hash}], reason="python")
    seen = None
    for frame in frames:
        seen = next((r for r in frame.events.revocations if r.token.token_hash.hex() == issued.token_hash), None)
        if seen is not None:
            break
    check(seen is not None and seen.revocation_seq == answer.results[0].revocation.revocation_seq, "grpcio: the revocation arrives on the stream")
    requests.put(None)
    frames.cancel()
    dead = introspection.unary("IntrospectToken", token=issued.token)
    check(dead.revoked and not dead.active, "grpcio: it introspects revoked")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: reflection.py STACK.JSON")
    sys.exit(main(sys.argv[1]))
