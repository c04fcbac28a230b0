"""The elements of a tensor in JSON: lists of numbers, or of files in base64.

A body of a few megabytes can hold millions of numbers. Python makes no objects for them: simdjson reads them in pieces
into flat buffers. Numbers are counted first, and are read only if the count fits the shape.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import msgspec
import numpy as np
import simdjson
from numpy.typing import NDArray

from digits_server.errors import InvalidRequest

PIECE_BYTES = 128 * 1024
"""Bytes of JSON read at once. Meanwhile Python's lock is held and the event loop waits, for a millisecond or two."""

MAX_REST_BYTES = 256 * 1024
"""Most bytes of JSON without the tensor's data. They are parsed at once, in two milliseconds with Python's lock
held."""

BEGINNING = re.compile(rb'"data"[ \t\r\n]*:[ \t\r\n]*(?=\[)')
AFTER_DATA = (b":", b"}")
"""Characters that follow a list of numbers or of base64: the next name, or the end of the tensor. They never occur in
the list."""

CUT = b'"data that was cut out"'
"""The text that replaces a tensor's data in the JSON."""

WHITESPACE = b" \t\r\n"
COMMA = ord(",")
SHOWN_SIZES = 6
"""How many sizes of a caller's shape an error message repeats."""

STRUCTURE = b"[],"
NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in STRUCTURE)

FILES = msgspec.json.Decoder(list[bytes])
NESTED_FILES = msgspec.json.Decoder(list[tuple[bytes]])
"""JSON has no bytes: files are written in base64."""


def without_data(text: bytes) -> tuple[bytes, bytes]:
    """A request's JSON with CUT in place of a tensor's large `data`, and that data; small JSON as it is, and nothing.

    The data is not parsed here; only its end is searched. To parse millions of elements would take 20 ms, and nothing
    else could run meanwhile. Raises InvalidRequest when more than MAX_REST_BYTES are left.
    """
    data = b""
    if len(text) > MAX_REST_BYTES and (found := BEGINNING.search(text, 0, MAX_REST_BYTES)):
        start = found.end()
        ends = [end for mark in AFTER_DATA if (end := text.find(mark, start)) > 0]
        end = text.rfind(b"]", start, min(ends, default=len(text))) + 1
        if end:
            text, data = text[:start] + CUT + text[end:], text[start:end]
    if len(text) > MAX_REST_BYTES:
        raise InvalidRequest(
            f"the request: expected at most {MAX_REST_BYTES} bytes of JSON beside the data of its tensor, a list of "
            f"numbers or of files in base64; got {len(text)}"
        )
    return text, data


@dataclass(frozen=True, slots=True)
class JsonElements:
    """The JSON text of a tensor's `data`, not yet read. The methods use `name` in error messages."""

    text: bytes

    def numbers(self, name: str, shape: Sequence[int]) -> NDArray[np.float32]:
        """All numbers as float32, flat; those beyond float32 are infinite. `shape` begins with N, and is short.

        Raises InvalidRequest unless the text holds as many numbers as the shape, flat or nested like it.
        """
        text, row = self._list(name, shape), self._numbers_in_a_row(name, shape)
        values = np.empty(prod(shape), np.float32)
        at = 0
        for piece in _pieces(text, row):
            try:
                part = _flat(piece)
            except (ValueError, TypeError, RuntimeError) as error:
                raise InvalidRequest(f"{name}: expected valid JSON, with only numbers in its lists") from error
            with np.errstate(over="ignore"):
                values[at : at + len(part)] = part
            at += len(part)
        if at < len(values):
            raise InvalidRequest(f"{name}: expected a number after each comma")
        return values

    def files(self, name: str, shape: Sequence[int]) -> list[bytes]:
        """The files of a tensor of this shape, [N] or [N, 1]. Raises InvalidRequest."""
        text = self._list(name, shape)
        try:
            if len(shape) > 1 and text.count(b"[") > 1:
                return [file for (file,) in NESTED_FILES.decode(text)]
            return FILES.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{name}: expected {shape[0]} files in base64: {error}") from error

    def _list(self, name: str, shape: Sequence[int]) -> bytes:
        """The text without surrounding space: a list with as many elements as the shape says."""
        text = self.text.strip(WHITESPACE)
        if not (text.startswith(b"[") and text.endswith(b"]")):
            raise InvalidRequest(f"{name}: expected a list")
        found = text.count(b",") + 1 if text[1:-1].strip(WHITESPACE) else 0
        if found != prod(shape):
            raise InvalidRequest(f"{name}: expected {prod(shape)} elements for the shape {shown(shape)}, got {found}")
        return text

    def _numbers_in_a_row(self, name: str, shape: Sequence[int]) -> int:
        """How many numbers an element of the outermost list has. Raises InvalidRequest if its nesting does not fit."""
        if self.text.count(b"[") == 1:
            return 1
        row = b""
        for size in reversed(shape[1:]):
            row = b"[" + b",".join([row] * size) + b"]"
        nested = shape[0] * (len(row) + 1) + 1
        structure = self.text.translate(None, NOT_STRUCTURE)
        if len(structure) != nested or structure != b"[" + b",".join([row] * shape[0]) + b"]":
            raise InvalidRequest(f"{name}: expected elements flat or nested as {shown(shape)}")
        return prod(shape[1:])


def _flat(array: bytes) -> NDArray[np.float64]:
    """The numbers in a JSON array, however nested. Raises one of simdjson's errors."""
    read: Any = simdjson.Parser().parse(array)  # its types allow for anything but an array
    numbers: NDArray[np.float64] = np.frombuffer(read.as_buffer(of_type="d"), np.float64)
    return numbers


def _pieces(text: bytes, row: int) -> Iterator[bytes]:
    """A list in several pieces of whole rows of `row` numbers, each of about PIECE_BYTES bytes."""
    symbols = np.frombuffer(text, np.uint8)
    at, end, length = 1, len(text) - 1, PIECE_BYTES
    while at < end:
        commas = np.flatnonzero(symbols[at : at + length] == COMMA)
        whole = len(commas) // row * row
        if at + length >= end:
            cut = end
        elif whole:
            cut = at + int(commas[whole - 1])
        else:  # a row of more than PIECE_BYTES, most of them space
            length *= 2
            continue
        yield b"[" + text[at:cut] + b"]"
        at, length = cut + 1, PIECE_BYTES


def shown(shape: Sequence[int]) -> str:
    """A shape for an error message; a long one is shortened."""
    sizes = [str(size) for size in shape[:SHOWN_SIZES]]
    return f"[{', '.join(sizes)}{', …' if len(shape) > SHOWN_SIZES else ''}]"
