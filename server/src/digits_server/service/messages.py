"""PredictRequest and PredictResponse in protobuf wire format, without copying what they carry.

Nearly every request is one field of pixels, and nearly every reply a few packed numbers. These are read and written
here in place; any other message goes through protobuf itself. The bytes are those of the protobuf encoding
(https://protobuf.dev/programming-guides/encoding).
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from digits.v1.prediction_pb2 import PredictRequest
from digits_server.runtimes import Probabilities
from digits_server.service.wire import LONGEST_LENGTH, MOST_ENTRIES, SMALL_BYTES, check_entries

IMAGES, MODEL_VERSION, INCLUDE_PROBABILITIES, INCLUDE_UNLIKE = 0x0A, 0x18, 0x20, 0x28
"""Tags of PredictRequest: the field's number times eight, plus how it is written (2 a length and bytes, 0 a varint)."""

_ONE_ANSWER = struct.Struct("<2sB2sfcB")
"""A PredictResponse of one image: one digit and one confidence, each after its tag and length, and a version below 128
after its tag."""

DIGITS, CONFIDENCES, PROBABILITIES, REPLY_MODEL_VERSION, UNLIKE = b"\x0a", b"\x12", b"\x1a", b"\x20", b"\x2a"
"""Tags of PredictResponse. The lists are packed: all numbers of one in a row, after one tag."""

ONE_IMAGE = b"\x0a\x90\x06"
"""The first bytes of a message of 784 bytes of pixels and nothing else, which most callers send."""

ONE_IMAGE_BYTES = len(ONE_IMAGE) + 784

LONGEST_VARINT = 9
"""Longest varint that is read here, in bytes; only negative numbers are longer."""

SHORT_FIELDS = 8
"""Fields after the pixels that are read here, one after another; a caller that sends each once sends three."""


class Request(NamedTuple):
    """A PredictRequest, field by field. `images` may be a view into the message it came in."""

    images: bytes | memoryview = b""
    image_files: Sequence[bytes] = ()
    model_version: int = 0
    include_probabilities: bool = False
    include_unlike: bool = False


class Reply(NamedTuple):
    """A PredictResponse: digits uint8[N], confidences float32[N], and on request probabilities and scores.

    probabilities  float32[N, 10]
    unlike         float32[N], how unlike the training images each is
    """

    digits: NDArray[np.uint8]
    confidences: NDArray[np.float32]
    model_version: int
    probabilities: Probabilities | None = None
    unlike: NDArray[np.float32] | None = None


class OneReply(NamedTuple):
    """The usual reply: to one image, without the optional fields."""

    digit: int
    confidence: float
    model_version: int


def parse_request(data: bytes | memoryview, most_entries: int = MOST_ENTRIES) -> Request:
    """The request in `data`. Raises protobuf's DecodeError for other bytes, InvalidRequest for too many entries."""
    if len(data) == ONE_IMAGE_BYTES and data[: len(ONE_IMAGE)] == ONE_IMAGE:
        return Request(memoryview(data)[len(ONE_IMAGE) :])
    request = read_in_place(data) if len(data) >= SMALL_BYTES else None
    if request is None:
        check_entries(data, PredictRequest, most_entries)
        message = PredictRequest.FromString(data)  # type: ignore[arg-type]  # a view does as well
        asked = message.include_probabilities, message.include_unlike
        request = Request(message.images, message.image_files, message.model_version, *asked)
    return request


def pixels_header(images: int) -> bytes:
    """The first bytes of a request with so many images of 784 bytes and nothing else."""
    return IMAGES.to_bytes() + _varint(784 * images)


def reply_to_one(digit: int, confidence: float, version: int) -> bytes:
    """The PredictResponse to a request of one image."""
    if version < 0x80:
        return _ONE_ANSWER.pack(b"\x0a\x01", digit, b"\x12\x04", confidence, REPLY_MODEL_VERSION, version)
    return serialise_reply(Reply(np.array([digit], np.uint8), np.array([confidence], np.float32), version))


def serialise_reply(reply: Reply | OneReply) -> bytes:
    """`reply` as a PredictResponse."""
    if isinstance(reply, OneReply):
        return reply_to_one(*reply)
    parts = [
        DIGITS,
        _varint(len(reply.digits)),
        reply.digits.tobytes(),  # each below 128, and so one byte
        CONFIDENCES,
        _varint(4 * len(reply.confidences)),
        reply.confidences.astype("<f4", copy=False).tobytes(),
    ]
    if reply.probabilities is not None:
        probabilities = reply.probabilities.astype("<f4", copy=False)
        parts += PROBABILITIES, _varint(probabilities.nbytes), probabilities.tobytes()
    parts.append(_version(reply))
    if reply.unlike is not None:
        parts += UNLIKE, _varint(4 * len(reply.unlike)), reply.unlike.astype("<f4", copy=False).tobytes()
    return b"".join(parts)


def _version(reply: Reply) -> bytes:
    return REPLY_MODEL_VERSION + _varint(reply.model_version)


def read_in_place(message: bytes | memoryview) -> Request | None:
    """A request of pixels, perhaps followed by the three short fields; None: another request, for protobuf to read.

    Nothing is copied, so a large request takes no longer. `message` is not empty.
    """
    data = memoryview(message)
    if data[0] != IMAGES:
        return None
    length, position = _read_varint(data, 1)
    end = position + length
    if position > 1 + LONGEST_LENGTH or end > len(data):
        return None
    images = data[position:end]
    version, probabilities, unlike = 0, False, False
    position = end
    for _ in range(SHORT_FIELDS):
        if position == len(data):
            return Request(images, (), version, probabilities, unlike)
        tag = data[position]
        value, position = _read_varint(data, position + 1)
        if tag == MODEL_VERSION:
            version = value
        elif tag == INCLUDE_PROBABILITIES:
            probabilities = value != 0
        elif tag == INCLUDE_UNLIKE:
            unlike = value != 0
        else:
            return None
        if position > len(data):
            return None
    return None


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """The varint at `position` and where it ends; an end beyond the data when it is cut off or too long."""
    value = shift = 0
    for byte in data[position : position + LONGEST_VARINT]:
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    return 0, len(data) + 1


def _varint(value: int) -> bytes:
    """A number of at least 0, seven bits a byte, the lowest first."""
    if value < 0x80:
        return value.to_bytes()
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
