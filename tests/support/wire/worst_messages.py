"""The worst messages that fit, for every field of every RPC, made from the descriptors: a new field is among them."""

from collections.abc import Callable, Iterator
from functools import partial
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


Make = Callable[[], bytes]


class Worst(NamedTuple):
    """One message to one method: `path` is "/package.Service/Method", `what` says what is in it.

    `make` makes it: that takes longer than to send it.
    """

    path: str
    what: str
    make: Make
    client_streams: bool
    server_streams: bool


def worst_messages(size: int) -> Iterator[Worst]:
    """Messages of about, and at most, `size` bytes."""
    for file in FILES:
        for method in _methods(file):
            path = f"/{method.containing_service.full_name}/{method.name}"
            for what, make in _floods(method.input_type, size):
                yield Worst(path, what, make, bool(method.client_streaming), bool(method.server_streaming))


def _methods(file: FileDescriptor) -> Iterator[MethodDescriptor]:
    for service in file.services_by_name.values():
        yield from service.methods


def _floods(message: Descriptor, size: int, seen: tuple[str, ...] = ()) -> Iterator[tuple[str, Make]]:
    """The worst contents of one message, and of those within it."""
    beginnings = SAMPLES.get(message.full_name, [b""])
    room = size - max(map(len, beginnings)) - 16
    own = [*_unknown(room)]
    for field in message.fields:
        own += [(f"{field.name} {what}", make) for what, make in _entries(field, room)]
        inner = field.message_type
        if inner is not None and inner.full_name not in seen:
            for what, make in _floods(inner, room, (*seen, message.full_name)):
                own.append((f"{field.name}.{what}", partial(_within, field, make)))
    for number, beginning in enumerate(beginnings):
        for what, make in own:
            yield f"{what}{f' after beginning {number}' if number else ''}", partial(_after, beginning, make)


def _unknown(size: int) -> Iterator[tuple[str, Make]]:
    """Unknown fields: numbers, empty ones, and groups within groups."""
    yield "unknown numbers", partial(_repeated, b"\x98\x06\x01", size)
    yield "unknown fields of nothing", partial(_repeated, b"\x9a\x06\x00", size)
    yield "unknown groups, each in the last", partial(_repeated, b"\x9b\x06", size)
    yield "unknown groups, one by one", partial(_repeated, b"\x9b\x06\x9c\x06", size)


def _entries(field: FieldDescriptor, size: int) -> Iterator[tuple[str, Make]]:
    """One field as often, as small, as slow to read and as large as it fits."""
    kind = WIDTHS.get(field.type, LENGTH if field.type in _WITH_LENGTH else VARINT)
    for name, element in ELEMENTS.get(kind, {"empty": b"\x00"}).items():
        yield f"one by one, {name}", partial(_repeated, _tag(field, kind) + element, size)
        if kind != LENGTH:
            yield f"packed, {name}", partial(_within, field, partial(_repeated, element, size - 8))
    if kind == LENGTH and field.message_type is None:
        for name, byte in (("letters", b"a"), ("zeros", b"\x00"), ("no text", b"\xff")):
            yield f"one of {name}", partial(_within, field, partial(_repeated, byte, size - 8))


def _repeated(element: bytes, size: int) -> bytes:
    return element * (size // len(element))


def _after(beginning: bytes, make: Make) -> bytes:
    return beginning + make()


def _within(field: FieldDescriptor, make: Make) -> bytes:
    """One entry of `field` with this content."""
    content = make()
    return _tag(field, LENGTH) + _varint(len(content)) + content


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
