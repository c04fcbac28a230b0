"""What people have in their hands → what the wire carries: raw pixels, or the bytes of an image file."""

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from digits_client._errors import InvalidInput, shown, unreadable

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage  # never needed at run time
else:
    PillowImage = Any

Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.floating[Any]]
"""0 background to 255 ink; or floats of 0 to 1, which are taken where conversion is asked for."""

Image: TypeAlias = Pixels | bytes | bytearray | memoryview | str | os.PathLike[str] | PillowImage
"""One image: [28, 28] pixels; the bytes of a PNG, JPEG, WebP or GIF file; its path; or a Pillow image."""

SHAPE = (28, 28)
PIXELS = 28 * 28
UINT8 = np.dtype(np.uint8)
BYTES = (bytes, bytearray, memoryview)
AT_HAND = (np.ndarray, *BYTES)
_ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held."""
_UPRIGHT = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""Its values → the `PIL.Image.Transpose` that turns the image upright."""
CONVERSION = "(images * 255).round().astype(numpy.uint8)"


class Encoded(NamedTuple):
    """One image as it is sent: `data` is 784 bytes of pixels, or an encoded file."""

    is_file: bool
    data: bytes


def encode(image: Image, name: str = "image", *, convert: bool = False) -> Encoded:
    """One image as it is sent. InvalidInput, naming `name`, when it is not an image.

    convert  take a float array of 0 to 1 too, and round it to 0 to 255
    """
    if isinstance(image, np.ndarray):
        if image.shape != SHAPE or image.dtype != UINT8:  # seldom
            check_form(image, 2, name, convert=convert)
        return Encoded(is_file=False, data=pixels(image, name, convert=convert))
    if isinstance(image, BYTES):
        return Encoded(is_file=True, data=bytes(image))
    if isinstance(image, str | os.PathLike):
        return Encoded(is_file=True, data=_read(image))
    if any((base.__module__, base.__name__) == ("PIL.Image", "Image") for base in type(image).__mro__):
        return Encoded(is_file=True, data=_png(image, name))
    raise InvalidInput(
        f"{name}: expected a uint8 array of 28 × 28, the bytes or the path of an image file, or a Pillow image; "
        f"got {type(image).__name__}"
    )


def blocks(image: object) -> bool:
    """Whether encoding it reads a file or compresses an image, which an event loop should not wait for."""
    return not isinstance(image, AT_HAND)


def pixels(array: NDArray[Any], name: str, *, convert: bool = False) -> bytes:
    """The bytes, row-major, of an array whose form has been checked."""
    return _scaled(array, name).tobytes() if convert and array.dtype.kind == "f" else array.tobytes()


def check_form(array: NDArray[Any], dimensions: int, name: str, *, convert: bool) -> None:
    """InvalidInput unless it is uint8[28, 28], or uint8[N, 28, 28] for 3 dimensions; or float, to be converted."""
    if array.shape[-2:] != SHAPE or array.ndim != dimensions:
        expected = "N × 28 × 28" if dimensions == 3 else "28 × 28"
        found = " × ".join(map(str, array.shape)) or "a single number"
        raise InvalidInput(f"{name}: expected an array of {expected}; got {found}")
    floats = array.dtype.kind == "f"
    if array.dtype != UINT8 and not (convert and floats):
        hint = f"; for values from 0 to 1: {CONVERSION}, or convert=True" if floats else ""
        raise InvalidInput(f"{name}: expected uint8 pixels, 0 background to 255 ink; got {array.dtype}{hint}")


def _scaled(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if array.size and not (array.min() >= 0 and array.max() <= 1):  # false for NaN, too
        raise InvalidInput(f"{name}: expected values from 0 to 1 to convert; got {array.min():g} to {array.max():g}")
    return np.round(array.astype(np.float64) * 255).astype(np.uint8)


def _png(image: Any, name: str) -> bytes:
    """A Pillow image as a PNG, upright and in a mode that PNG has. InvalidInput, naming `name`, if there is no way."""
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION))
        if turn is not None:
            image = image.transpose(turn)
        if image.mode in ("I", "F"):
            least, most = image.getextrema()
            if not 0 <= least <= most <= 255 or 0 < most <= 1:
                raise InvalidInput(
                    f"{name}: expected a Pillow image with values from 0 to 255; got mode {image.mode} with values "
                    f'from {least:g} to {most:g}: scale them and convert with image.convert("L")'
                )
            image = image.convert("L")
        elif image.mode in ("CMYK", "YCbCr", "HSV", "LAB"):
            image = image.convert("RGB")
        file = BytesIO()
        image.save(file, "PNG", exif=b"")
    except InvalidInput:
        raise
    except Exception as error:  # Pillow and its plugins raise many kinds: of broken files, of modes without conversion
        raise InvalidInput(
            f'{name}: cannot convert the Pillow image of mode {image.mode} to PNG: {error}: try image.convert("RGB")'
        ) from error
    return file.getvalue()


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise unreadable(error, path) from error
    except ValueError as error:  # a zero byte in the name
        raise InvalidInput(f"cannot read {shown(os.fspath(path))!r}: {error}") from error
