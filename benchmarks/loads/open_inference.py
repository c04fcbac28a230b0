"""The two messages of the Open Inference Protocol that a benchmark needs, written and read by hand.

Triton speaks it (https://github.com/kserve/open-inference-protocol). Field numbers stand beside the fields; the wire
format is protobuf's: https://protobuf.dev/programming-guides/encoding/.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MODEL = "digits"
INPUT = "images"
OUTPUT = "probabilities"


def infer_request(images: NDArray[np.uint8]) -> bytes:
    """ModelInferRequest for uint8[N, 28, 28], pixels raw."""
    tensor = _field(1, INPUT.encode()) + _field(2, b"UINT8") + _field(3, b"".join(map(_varint, images.shape)))
    return b"".join(
        [
            _field(1, MODEL.encode()),  # model_name
            _field(5, tensor),  # inputs: name, datatype, shape
            _field(6, _field(1, OUTPUT.encode())),  # outputs: name
            _field(7, images.tobytes()),  # raw_input_contents
        ]
    )


def infer_probabilities(reply: bytes) -> NDArray[np.float32]:
    """The float32[N, 10] of a ModelInferResponse: raw_output_contents, field 6."""
    return np.frombuffer(next(data for number, data in _fields(reply) if number == 6), np.float32).reshape(-1, 10)


def _varint(number: int) -> bytes:
    """Seven bits a byte, least first; the eighth says that more follow."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field: a string, bytes, a message or a packed array."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a message that are outside any other; varints are skipped."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        value, at = _read_varint(message, at)
        if key & 7 == 2:
            yield key >> 3, message[at : at + value]
            at += value
        elif key & 7:
            raise ValueError(
                f"wire type {key & 7} at byte {at} is not valid in a ModelInferResponse: the reply is damaged"
            )


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at a position, and the position after it."""
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at
