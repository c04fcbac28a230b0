"""A FlatBuffer read without trust: every offset, length and count is checked before it is followed.

A buffer that passes has the layout of its schema, so no reader can be led outside it
(https://flatbuffers.dev/internals/ describes the layout).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_TABLES = 20_000
"""Most tables read from one buffer. A table counts at each reference to it: a few bytes can form an endless loop."""

MAX_DEPTH = 16
"""How deep tables may be nested."""


class Malformed(Exception):
    """The buffer does not follow its schema; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number, by its letter in `struct`."""

    letter: str


@dataclass(frozen=True, slots=True)
class Text:
    """Bytes that end with a zero."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the schema, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Vector:
    """A list of numbers (given as a memoryview of bytes), texts or tables."""

    of: "Scalar | Text | Table"


@dataclass(frozen=True, slots=True)
class Union:
    """A table whose type number is in the field `selector`; types that are not in `tables` are rejected."""

    selector: str
    tables: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Absent:
    """A field that must not be there."""


Kind = Scalar | Text | Table | Vector | Union | Absent
Schema = Mapping[str, Mapping[str, Kind]]
"""Tables by name, with their fields in the order of their numbers. Further fields are rejected."""

Values = dict[str, Any]
"""The fields that a table has. A nested table is Values, a text is bytes, a vector of numbers is a memoryview."""


def read(data: bytes, identifier: bytes, schema: Schema, root: str) -> Values:
    """The table `root` of the buffer `data`, whose bytes 4 to 7 are `identifier`. Raises Malformed."""
    if data[4:8] != identifier:
        raise Malformed(f"it is not a file of the kind {identifier.decode()}: bytes 4 to 7 differ")
    return _Reader(data, schema).table(0, root)


class _Reader:
    def __init__(self, data: bytes, schema: Schema) -> None:
        self._data = memoryview(data)
        self._schema = schema
        self._tables = 0
        self._depth = 0

    def table(self, reference: int, name: str) -> Values:
        """The table that the offset at `reference` leads to."""
        self._tables += 1
        self._depth += 1
        if self._tables > MAX_TABLES or self._depth > MAX_DEPTH:
            raise Malformed("it has too many tables")
        at = self._follow(reference)
        entries, size = self._layout(at)
        fields = self._schema[name]
        if any(entries[len(fields) :]):
            raise Malformed(f"{name} has an unknown field")
        values: Values = {}
        for (field, kind), entry in zip(fields.items(), entries, strict=False):
            if entry:
                values[field] = self._field(at + entry, at + size, kind, values, f"{name}.{field}")
        self._depth -= 1
        return values

    def _layout(self, at: int) -> tuple[tuple[int, ...], int]:
        """Where the fields of the table at `at` are, relative to it (0: absent), and its size in bytes."""
        layout = at - self._number(at, "i")
        length, size = self._number(layout, "H"), self._number(layout + 2, "H")
        if length < 4 or length % 2 or size < 4:
            raise Malformed("it has a table without a layout")
        return struct.unpack(f"<{length // 2 - 2}H", self._slice(layout + 4, length - 4)), size

    def _field(self, at: int, end: int, kind: Kind, before: Values, place: str) -> Any:
        match kind:
            case Scalar(letter):
                value, width = self._number(at, letter), struct.calcsize(letter)
            case Text():
                value, width = self._text(at), 4
            case Table(name):
                value, width = self.table(at, name), 4
            case Vector(of):
                value, width = self._vector(at, of), 4
            case Union(selector, tables):
                chosen = tables.get(before.get(selector, 0))
                if chosen is None:
                    raise Malformed(f"{place} is of a kind that is not allowed")
                value, width = self.table(at, chosen), 4
            case Absent():
                raise Malformed(f"{place} is not allowed")
        if at + width > end:
            raise Malformed(f"{place} lies outside its table")
        return value

    def _text(self, reference: int) -> bytes:
        at = self._follow(reference)
        text = bytes(self._slice(at + 4, self._number(at, "I") + 1))
        if text[-1]:
            raise Malformed("it has a text without an end")
        return text[:-1]

    def _vector(self, reference: int, of: Scalar | Text | Table) -> Any:
        at = self._follow(reference)
        count = self._number(at, "I")
        if isinstance(of, Scalar):
            width = struct.calcsize(of.letter)
            if count and (at + 4) % width:
                raise Malformed("it has numbers at a misaligned offset")
            return self._slice(at + 4, count * width)
        self._slice(at + 4, count * 4)
        if self._tables + count > MAX_TABLES:
            raise Malformed("it has too many tables")
        places = range(at + 4, at + 4 + 4 * count, 4)
        return [self._text(place) if isinstance(of, Text) else self.table(place, of.name) for place in places]

    def _follow(self, reference: int) -> int:
        distance: int = self._number(reference, "I")
        return reference + distance

    def _number(self, at: int, letter: str) -> Any:
        width = struct.calcsize(f"<{letter}")
        if at % width:
            raise Malformed("it has a number at a misaligned offset")
        return struct.unpack_from(f"<{letter}", self._slice(at, width))[0]

    def _slice(self, at: int, size: int) -> memoryview:
        if at < 0 or at + size > len(self._data):
            raise Malformed("it has an offset that leads outside the file")
        return self._data[at : at + size]
