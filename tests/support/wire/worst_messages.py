"""The worst messages that fit, for every field of every RPC, made from the descriptors: a new field is among them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from digits.inference import inference_pb2
from digits.v1 import prediction_pb2

FILES: tuple[Any, ...] = (
    prediction_pb2.DESCRIPTOR,
    inference_pb2.DESCRIPTOR,
    health_pb2.DESCRIPTOR,
    reflection_pb2.DESCRIPTOR,
)

VARINT, FIXED64, LENGTH, START_GROUP, FIXED32 = 0, 1, 2, 3, 5
WIDTHS = {FieldDescriptor.TYPE_FLOAT: FIXED32, FieldDescriptor.TYPE_DOUBLE: FIXED64}
ELEMENTS = {
    VARINT: {"smallest": b"\x01", "of two bytes": b"\xff\x01", "longest": b"\xff" * 9 + b"\x01"},
    FIXED32: {"ones": b"\x00\x00\x80\x3f", "NaN": b"\xff\xff\xff\x7f", "largest": b"\xff\xff\x7f\x7f"},
    FIXED64: {"ones": b"\x00" * 6 + b"\xf0\x3f", "NaN": b"\xff" * 7 + b"\x7f"},
}
"""Elements of numbers, by how they are written."""

SAMPLES: dict[str, list[bytes]] = {
    "inference.ModelInferRequest": [b"\x0a\x06digits"],
    "inference.ModelInferRequest.InferInputTensor": [
        b"\x0a\x06images\x12" + bytes([len(datatype)]) + datatype + b"\x1a\x03\x01\x90\x06"
        for datatype in (b"UINT8", b"FP32")
    ]
    + [b"\x0a\x0bimage_files\x12\x05BYTES\x1a\x01\x40"],
}
"""Valid beginnings of messages, so that the server also checks the rest."""


class Worst(NamedTuple):
    """One message to one method: `path` is "/package.Service/Method", `what` says what is in it."""

    path: str
    what: str
    data: bytes
    client_streams: bool
    server_streams: bool


def worst_messages(size: int) -> Iterator[Worst]:
    """Messages of about, and at most, `size` bytes."""
    for file in FILES:
        for method in _methods(file):
            path = f"/{method.containing_service.full_name}/{method.name}"
            for what, data in _floods(method.input_type, size):
                yield Worst(path, what, data, bool(method.client_streaming), bool(method.server_streaming))


def _methods(file: FileDescriptor) -> Iterator[MethodDescriptor]:
    for service in file.services_by_name.values():
        yield from service.methods


def _floods(message: Descriptor, size: int, seen: tuple[str, ...] = ()) -> Iterator[tuple[str, bytes]]:
    """The worst contents of one message, and of those within it."""
    beginnings = SAMPLES.get(message.full_name, [b""])
    room = size - max(map(len, beginnings)) - 16
    own = [*_unknown(room)]
    for field in message.fields:
        own += [(f"{field.name} {what}", data) for what, data in _entries(field, room)]
        inner = field.message_type
        if inner is not None and inner.full_name not in seen:
            for what, data in _floods(inner, room, (*seen, message.full_name)):
                own.append((f"{field.name}.{what}", _tag(field, LENGTH) + _varint(len(data)) + data))
    for number, beginning in enumerate(beginnings):
        yield from ((f"{what}{f' after beginning {number}' if number else ''}", beginning + data) for what, data in own)


def _unknown(size: int) -> Iterator[tuple[str, bytes]]:
    """Unknown fields: numbers, empty ones, and groups within groups."""
    yield "unknown numbers", b"\x98\x06\x01" * (size // 3)
    yield "unknown fields of nothing", b"\x9a\x06\x00" * (size // 3)
    yield "unknown groups, each in the last", b"\x9b\x06" * (size // 2)
    yield "unknown groups, one by one", b"\x9b\x06\x9c\x06" * (size // 4)


def _entries(field: FieldDescriptor, size: int) -> Iterator[tuple[str, bytes]]:
    """One field as often, as small, as slow to read and as large as it fits."""
    kind = WIDTHS.get(field.type, LENGTH if field.type in _WITH_LENGTH else VARINT)
    for name, element in ELEMENTS.get(kind, {"empty": b"\x00"}).items():
        entry = _tag(field, kind) + element
        yield f"one by one, {name}", entry * (size // len(entry))
        if kind != LENGTH:
            packed = element * ((size - 8) // len(element))
            yield f"packed, {name}", _tag(field, LENGTH) + _varint(len(packed)) + packed
    if kind == LENGTH and field.message_type is None:
        for name, byte in (("letters", b"a"), ("zeros", b"\x00"), ("no text", b"\xff")):
            yield f"one of {name}", _tag(field, LENGTH) + _varint(size - 8) + byte * (size - 8)


_WITH_LENGTH = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE}


def _tag(field: FieldDescriptor, kind: int) -> bytes:
    return _varint(field.number << 3 | kind)


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
