"""Counts the entries of a message in protobuf wire format, before protobuf parses it.

An empty element of a repeated field takes two bytes, and protobuf makes an object of each while it holds Python's lock:
one message of two million of them would stop the whole server. The bytes are those of the protobuf encoding
(https://protobuf.dev/programming-guides/encoding).
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from digits_server.errors import InvalidRequest

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)
"""The wire type of a value: the lowest three bits of its tag."""

LONGEST_VARINT = 10
"""Most bytes of a varint."""

LONGEST_LENGTH = 5
"""Most bytes of a length, leading zeros included: with more, protobuf rejects the message."""

MOST_ENTRIES = 1024
"""Entries of one message, those of the messages in it included. A valid request has one for each of its image files and
about twenty more; the elements of a packed field are one entry."""

SMALL_BYTES = 8 * 1024
"""A message up to this size is parsed on the event loop: it has at most 4,096 entries, which take protobuf half a
millisecond."""


class Entry(NamedTuple):
    """One field of a message, or one element of a repeated field: its bytes are `data[begin:end]`, tag included.

    start  where its value begins; in a LENGTH entry that is after the length
    """

    field: int
    kind: int
    begin: int
    start: int
    end: int


def entries(data: bytes | memoryview, start: int, end: int) -> Iterator[Entry]:
    """The entries between `start` and `end`. Raises DecodeError if one does not fit."""
    at = start
    while at < end:
        begin = at
        tag, at = varint(data, at, end)
        kind = tag & 7
        value = at
        if kind == VARINT:
            _, at = varint(data, at, end)
        elif kind == LENGTH:
            length, value = varint(data, at, end, LONGEST_LENGTH)
            at = value + length
        elif kind == FIXED64:
            at += 8
        elif kind == FIXED32:
            at += 4
        elif kind not in (START_GROUP, END_GROUP):  # entries in a group are counted as if they were beside it
            raise DecodeError("no such wire type")
        if at > end:
            raise DecodeError("a value ends behind its message")
        yield Entry(tag >> 3, kind, begin, value, at)


def varint(data: bytes | memoryview, at: int, end: int, longest: int = LONGEST_VARINT) -> tuple[int, int]:
    """The varint at `at`, and where it ends. Raises DecodeError if it is too long or cut off."""
    value = shift = 0
    for position in range(at, min(end, at + longest)):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    raise DecodeError("a varint has no end")


def check_entries(data: bytes | memoryview, message: type[Message], most: int = MOST_ENTRIES) -> None:
    """Raises InvalidRequest, which names the field, if `data` has more than `most` entries; `message` is its type.

    It stops counting there, so a million entries take no longer. Raises DecodeError if the bytes are not a message.
    """
    whole: Any = message.DESCRIPTOR
    waiting: list[tuple[Descriptor, str, int, int]] = [(whole, "", 0, len(data))]
    counts: Counter[str] = Counter()
    while waiting:
        parent, path, start, end = waiting.pop()
        for entry in entries(data, start, end):
            field: FieldDescriptor | None = parent.fields_by_number.get(entry.field)
            name = path + (field.name if field else "(unknown field)")
            counts[name] += 1
            if counts.total() > most:
                worst, count = counts.most_common(1)[0]
                raise InvalidRequest(
                    f"{worst}: expected a message of at most {most} fields and elements in all, got more; "
                    f"at least {count} of them are here"
                )
            if field is not None and field.message_type is not None and entry.kind == LENGTH:
                waiting.append((field.message_type, f"{name}.", entry.start, entry.end))


def packed(field: int, elements: bytes) -> bytes:
    """A packed repeated field with a number below 16; `elements` are already encoded."""
    length = bytearray()
    size = len(elements)
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes([field << 3 | LENGTH]) + length + elements
