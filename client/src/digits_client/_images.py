"""What people have in their hands → what the wire carries: raw pixels, or the bytes of an image file."""

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from digits_client._errors import InvalidInput

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage  # never needed at run time
else:
    PillowImage = Any

Image: TypeAlias = "NDArray[np.uint8] | bytes | str | os.PathLike[str] | PillowImage"
"""One image: uint8[28, 28], 0 background to 255 ink; the bytes of a PNG or JPEG file; its path; or a Pillow image."""

PIXELS = 28 * 28


class Encoded(NamedTuple):
    """One image as it is sent: `data` is 784 bytes of pixels, or an encoded file."""

    is_file: bool
    data: bytes


def encode(image: Image, name: str = "image") -> Encoded:
    """One image as it is sent. InvalidInput, naming `name`, when it is none."""
    if isinstance(image, np.ndarray):
        return Encoded(is_file=False, data=pixels(image, (28, 28), name))
    if isinstance(image, bytes | bytearray | memoryview):
        return Encoded(is_file=True, data=bytes(image))
    if isinstance(image, str | os.PathLike):
        return Encoded(is_file=True, data=_read(image))
    if type(image).__module__.startswith("PIL."):
        file = BytesIO()
        image.save(file, "PNG")
        return Encoded(is_file=True, data=file.getvalue())
    raise InvalidInput(
        f"{name}: expected a uint8 array of 28 × 28, the bytes or the path of an image file, or a Pillow image; "
        f"got {type(image).__name__}"
    )


def pixels(array: NDArray[Any], shape: tuple[int, ...], name: str) -> bytes:
    """The bytes of uint8[shape], row-major; in `shape` -1 stands for any number. InvalidInput for anything else."""
    expected = "N × 28 × 28" if len(shape) == 3 else "28 × 28"
    if array.dtype != np.uint8:
        hint = "; for values from 0 to 1: (images * 255).round().astype(numpy.uint8)" if array.dtype.kind == "f" else ""
        raise InvalidInput(f"{name}: expected uint8 pixels, 0 background to 255 ink; got {array.dtype}{hint}")
    if array.shape[-2:] != (28, 28) or array.ndim != len(shape):
        found = " × ".join(map(str, array.shape)) or "a single number"
        raise InvalidInput(f"{name}: expected an array of {expected}; got {found}")
    return array.tobytes()


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {os.fspath(path)}: {error.strerror}") from error
