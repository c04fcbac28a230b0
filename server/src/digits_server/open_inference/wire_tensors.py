"""Reads the tensors of a ModelInferRequest as arrays; protobuf parses the rest of the message.

Protobuf would make the elements of typed contents one by one, and hold Python's lock all the time.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from digits.inference.inference_pb2 import InferTensorContents, ModelInferRequest
from digits_server.errors import InvalidRequest
from digits_server.service.wire import FIXED32, FIXED64, LENGTH, LONGEST_VARINT, VARINT, Entry, entries

Numbers = NDArray[Any]
Piece = tuple[int, memoryview]
"""How a piece of a field's elements is encoded (LENGTH if packed), and its bytes."""

INPUTS, RAW, CONTENTS = 5, 7, 5
"""Numbers of the fields `inputs` and `raw_input_contents` of the message, and of `contents` of an input."""

INPUT_TAG = bytes([INPUTS << 3 | LENGTH])

MOST_REST_BYTES = 64 * 1024
"""Most bytes of a message without the contents of its tensors: names, shapes, parameters."""

CHUNK_BYTES = 64 * 1024
"""Bytes of numbers read at once; reading needs a few times as much memory."""

_fields: Any = InferTensorContents.DESCRIPTOR.fields_by_number
FIELDS: dict[int, FieldDescriptor] = dict(_fields)

_SINGLE = {
    FieldDescriptor.TYPE_FLOAT: FIXED32,
    FieldDescriptor.TYPE_DOUBLE: FIXED64,
    FieldDescriptor.TYPE_BYTES: LENGTH,
}
"""The encoding of one element by type; types that are not listed are varints."""


class TypedContents:
    """The elements of one tensor, by the field of InferTensorContents that holds them, not yet read."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[Piece]] = {}

    @property
    def fields(self) -> list[str]:
        """The names of the fields that have elements."""
        return list(self._pieces)

    def add(self, field: FieldDescriptor, kind: int, value: memoryview) -> None:
        """Adds an entry of `field`. An entry of the wrong wire type is ignored, as protobuf does."""
        single = _SINGLE.get(field.type, VARINT)
        if kind == single or (kind == LENGTH and len(value)):
            self._pieces.setdefault(field.name, []).append((kind, value))

    def floats(self, field: str) -> NDArray[np.float32]:
        """The elements of a field of floats. Raises DecodeError."""
        pieces = [value for _, value in self._pieces.get(field, ())]
        if any(len(piece) % 4 for piece in pieces):
            raise DecodeError("packed floats end in the middle of one")
        return _joined([np.frombuffer(piece, "<f4") for piece in pieces], np.float32)

    def unsigned(self, field: str) -> Numbers:
        """The elements of a field of uint32, in uint8 where all are small. Raises DecodeError."""
        return _joined([_varints(value) for _, value in self._pieces.get(field, ())], np.uint8)

    def many_bytes(self, field: str) -> list[bytes]:
        """The elements of a field of bytes."""
        return [bytes(value) for _, value in self._pieces.get(field, ())]


class Taken(NamedTuple):
    """A message in parts: `rest` without the contents of tensors, which are in `typed` (one each) and `raw`."""

    rest: ModelInferRequest
    typed: list[TypedContents]
    raw: list[memoryview]


def take_tensors(data: bytes | memoryview) -> Taken:
    """Splits `data`, an encoded ModelInferRequest, into its parts. Raises DecodeError or InvalidRequest."""
    view = memoryview(data)
    rest, typed, raw = bytearray(), [], []
    for entry in entries(view, 0, len(view)):
        if entry.field == RAW and entry.kind == LENGTH:
            raw.append(view[entry.start : entry.end])
        elif entry.field == INPUTS and entry.kind == LENGTH:
            contents = TypedContents()
            kept = b"".join(_without_contents(view, entry, contents))
            typed.append(contents)
            rest += INPUT_TAG + _length(len(kept)) + kept
        else:
            rest += view[entry.begin : entry.end]
        if len(rest) > MOST_REST_BYTES:
            raise InvalidRequest(
                f"expected at most {MOST_REST_BYTES} bytes of names, shapes and parameters beside the tensors, got more"
            )
    return Taken(ModelInferRequest.FromString(bytes(rest)), typed, raw)


def _without_contents(view: memoryview, tensor: Entry, contents: TypedContents) -> Iterator[memoryview]:
    """The entries of an input without its contents, which are added to `contents`."""
    for entry in entries(view, tensor.start, tensor.end):
        if entry.field == CONTENTS and entry.kind == LENGTH:
            for element in entries(view, entry.start, entry.end):
                if field := FIELDS.get(element.field):
                    contents.add(field, element.kind, view[element.start : element.end])
        else:
            yield view[entry.begin : entry.end]


def _length(size: int) -> bytes:
    """A length below 128 KiB as a varint of three bytes; shorter ones need not be written shorter."""
    return bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])


def _joined(parts: list[Numbers], empty: type[np.generic]) -> Numbers:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, empty)


def _varints(packed: memoryview) -> Numbers:
    """Consecutive varints, the lowest 32 bits of each: uint8[N] if all take a byte, else uint32[N]. Or DecodeError."""
    octets = np.frombuffer(packed, np.uint8)
    if octets.max() < 0x80:
        return octets
    found = []
    at = 0
    while at < len(octets):
        chunk = octets[at : at + CHUNK_BYTES]
        ends = np.flatnonzero(chunk < 0x80)
        if not len(ends):
            raise DecodeError("a varint has no end")
        starts = np.concatenate(([0], ends[:-1] + 1))
        lengths = ends - starts + 1
        if lengths.max() > LONGEST_VARINT:
            raise DecodeError("a varint has no end")
        found.append(_values(chunk, starts, lengths))
        at += int(ends[-1]) + 1
    return np.concatenate(found)


def _values(chunk: NDArray[np.uint8], starts: Numbers, lengths: Numbers) -> NDArray[np.uint32]:
    """The numbers that begin at `starts` and have `lengths` bytes, the lowest seven bits first."""
    values = (chunk[starts] & 0x7F).astype(np.uint32)
    for place in range(1, min(5, int(lengths.max()))):  # 32 bits are in the first five bytes
        longer = lengths > place
        values[longer] |= (chunk[starts[longer] + place] & 0x7F).astype(np.uint32) << np.uint32(7 * place)
    return values
