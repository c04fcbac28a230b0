"""Reads the input of a request under the Open Inference Protocol: pixels or image files.

Pure functions: every input is read here, from gRPC or HTTP, as raw bytes or as typed numbers.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from math import prod

import numpy as np
from numpy.typing import NDArray

from digits_server.errors import InvalidRequest, RequestTooLarge
from digits_server.open_inference.json_elements import JsonElements, shown
from digits_server.open_inference.tensors import (
    BYTES,
    DTYPES,
    EXPECTED_INPUT,
    FILE_INPUT,
    FP32,
    PIXEL_INPUT,
    UINT8,
    InputTensor,
    Numbers,
    one_input,
)
from digits_server.pictures.images import PIXELS, SIDE
from digits_server.runtimes import Images

LENGTH_BYTES = 4
"""Before each element of raw BYTES: its length."""

IMAGE_SHAPES = ((SIDE, SIDE), (PIXELS,), (SIDE, SIDE, 1), (1, SIDE, SIDE))
"""Sizes that may follow N in the shape of `images`: the same 784 pixels in the same order."""

MOST_SIZES = 4
"""Most sizes of a valid shape."""


def images_or_files(inputs: Sequence[InputTensor], max_files: int) -> Images | list[bytes]:
    """The input to classify: pixels, uint8[N, 28, 28], or at most `max_files` image files.

    Raises InvalidRequest or RequestTooLarge.
    """
    one_input(len(inputs))
    if inputs[0].name == PIXEL_INPUT.name:
        return _images(inputs[0])
    if inputs[0].name == FILE_INPUT.name:
        return _files(inputs[0], max_files)
    raise InvalidRequest(f"inputs: {EXPECTED_INPUT}, got one of another name")


def _shape(tensor: InputTensor) -> tuple[int, ...]:
    """The shape, after a check that it is short: a caller could send millions of sizes. Raises InvalidRequest."""
    if len(tensor.shape) > MOST_SIZES:
        raise InvalidRequest(
            f"{tensor.name}: expected a shape of at most {MOST_SIZES} sizes, got {len(tensor.shape)}: "
            f"{shown(tensor.shape)}"
        )
    return tuple(tensor.shape)


def _images(tensor: InputTensor) -> Images:
    shape = _shape(tensor)
    if shape[1:] not in IMAGE_SHAPES or shape[0] < 1:
        raise InvalidRequest(
            "images: expected the shape [N, 28, 28], [N, 784], [N, 28, 28, 1] or [N, 1, 28, 28] with N at least 1, "
            f"got {shown(shape)}"
        )
    if tensor.datatype == UINT8:
        values = _numbers(tensor, shape)
        if values.dtype == np.float32:  # from JSON
            return whole_levels(values).reshape(-1, SIDE, SIDE)
        if values.dtype != np.uint8 and values.max() > 255:
            raise InvalidRequest("images: expected grey levels from 0 to 255, got a number above")
        return values.astype(np.uint8, copy=False).reshape(-1, SIDE, SIDE)
    if tensor.datatype == FP32:
        return grey_levels(_numbers(tensor, shape)).reshape(-1, SIDE, SIDE)
    raise InvalidRequest(f"images: expected the datatype {UINT8} or {FP32}")


def whole_levels(values: Numbers) -> NDArray[np.uint8]:
    """Grey levels as float32, which must be whole numbers from 0 to 255. Raises InvalidRequest."""
    if not (values.min() >= 0 and values.max() <= 255):
        raise InvalidRequest("images: expected grey levels from 0 to 255, got a number outside")
    levels: NDArray[np.uint8] = values.astype(np.uint8)
    if not np.array_equal(levels, values):
        raise InvalidRequest(f"images: expected whole grey levels for {UINT8}, got fractions; {FP32} takes them")
    return levels


def grey_levels(values: Numbers) -> NDArray[np.uint8]:
    """Grey levels as float32, 0 to 255, rounded to whole numbers.

    Raises InvalidRequest for numbers outside, and if no number is above 1 but some are above 0: these are pixels scaled
    to 0…1, which would be read as a black image, and still be answered with a digit.
    """
    least, most = float(values.min()), float(values.max())
    if not (least >= 0 and most <= 255):  # written this way, NaN fails too
        raise InvalidRequest("images: expected grey levels from 0 to 255, got a number outside, or NaN")
    if 0 < most <= 1:
        raise InvalidRequest(
            "images: expected grey levels from 0 to 255, got none above 1; multiply pixels of 0 to 1 by 255"
        )
    levels: NDArray[np.uint8] = np.rint(values).astype(np.uint8)
    return levels


def _numbers(tensor: InputTensor, shape: tuple[int, ...]) -> Numbers:
    """The elements as an array of any shape, as many as `shape` says. Raises InvalidRequest."""
    contents, dtype, count = tensor.contents, DTYPES[tensor.datatype], prod(shape)
    if isinstance(contents, JsonElements):
        return contents.numbers(tensor.name, shape)
    if isinstance(contents, np.ndarray):
        if contents.size != count:
            raise InvalidRequest(
                f"{tensor.name}: expected {count} elements for the shape {shown(shape)}, got {contents.size}"
            )
        return contents
    if isinstance(contents, list):
        raise InvalidRequest(f"{tensor.name}: expected {count} numbers, got bytes")
    if len(contents) != count * dtype.itemsize:
        raise InvalidRequest(
            f"{tensor.name}: expected {count * dtype.itemsize} bytes for {tensor.datatype} of the shape "
            f"{shown(shape)}, got {len(contents)}"
        )
    numbers: Numbers = np.frombuffer(contents, dtype)
    return numbers


def _files(tensor: InputTensor, max_files: int) -> list[bytes]:
    shape = _shape(tensor)
    if tensor.datatype != BYTES:
        raise InvalidRequest(f"image_files: expected the datatype {BYTES}")
    if not shape or shape[1:] not in ((), (1,)) or shape[0] < 1:
        raise InvalidRequest(f"image_files: expected the shape [N] or [N, 1] with N at least 1, got {shown(shape)}")
    if shape[0] > max_files:
        raise RequestTooLarge(f"image_files: {shape[0]} files; at most {max_files} (max_image_files)")
    if isinstance(tensor.contents, np.ndarray):
        raise InvalidRequest("image_files: expected bytes, got numbers")
    contents = tensor.contents
    if isinstance(contents, JsonElements):
        return contents.files(tensor.name, shape)
    files = contents if isinstance(contents, list) else list(islice(_length_prefixed(contents), shape[0] + 1))
    if len(files) != shape[0]:
        got = str(len(files)) if isinstance(contents, list) or len(files) < shape[0] else "more"
        raise InvalidRequest(f"image_files: expected {shape[0]} files for the shape {shown(shape)}, got {got}")
    return files


def _length_prefixed(raw: bytes | memoryview) -> Iterator[bytes]:
    """The elements of raw BYTES. Raises InvalidRequest if the last one does not end where `raw` ends."""
    at = 0
    while at < len(raw):
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(raw[at:start], "little")
        if start > len(raw) or at > len(raw):
            raise InvalidRequest(
                f"image_files: expected each file after its length in {LENGTH_BYTES} bytes, little-endian; "
                "the contents end in the middle of one"
            )
        yield bytes(raw[start:at])
