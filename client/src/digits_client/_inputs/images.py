"""Any kind of image that callers have → raw pixels, or the bytes of an image file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import iscoroutinefunction
from io import BytesIO, UnsupportedOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from digits_client._errors import InvalidInput, shown, unreadable
from digits_client._inputs.arrays import SHAPE, UINT8, check_form, pixels

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage  # never needed at run time
else:
    PillowImage = Any

Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.bool_] | NDArray[np.integer[Any]] | NDArray[np.floating[Any]]
"""0 background to 255 ink, or False and True; or floats of 0 to 1, if conversion is requested."""


class Readable(Protocol):
    """An open file, a `BytesIO`, or an upload; `read` may be a coroutine function where an AsyncClient gets it."""

    def read(self) -> Any:
        """The bytes of an image file, from the current position to the end."""


Image: TypeAlias = Pixels | bytes | bytearray | memoryview | str | os.PathLike[str] | PillowImage | Readable
"""One image: 28 × 28 pixels; the bytes of a PNG, JPEG, WebP or GIF file; its path; the open file; or a Pillow image."""

BYTES = (bytes, bytearray, memoryview)
AT_HAND = (np.ndarray, *BYTES)
_TEXT = 'expected a file of bytes; this one is open for text: open it with mode "rb"'
_ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held."""
_UPRIGHT = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""The values of that tag → the `PIL.Image.Transpose` that turns the image upright."""


class Encoded(NamedTuple):
    """One image as it is sent: `data` is 784 bytes of pixels, or an encoded file."""

    is_file: bool
    data: bytes


def encode(image: Image, name: str = "image", *, convert: bool = False) -> Encoded:
    """One image as it is sent. InvalidInput, naming `name`, if it is not an image.

    convert  take a float array as values of 0 to 1, and round it to 0 to 255
    """
    if isinstance(image, np.ndarray):
        if image.shape != SHAPE or image.dtype != UINT8:  # seldom
            check_form(image, name, several=False)
        return Encoded(is_file=False, data=pixels(image, name, convert=convert))
    if isinstance(image, BYTES):
        return Encoded(is_file=True, data=bytes(image))
    if isinstance(image, str | os.PathLike):
        return Encoded(is_file=True, data=_read(image))
    if any((base.__module__, base.__name__) == ("PIL.Image", "Image") for base in type(image).__mro__):
        return Encoded(is_file=True, data=_png(image, name))
    if hasattr(image, "read"):
        if reads_as_coroutine(image):
            raise InvalidInput(
                f"{name}: expected a file whose read() returns bytes; that of this {type(image).__name__} is a "
                "coroutine: pass image.file, or await image.read() and pass the bytes, or use an AsyncClient"
            )
        with reading(image, name):
            read = image.read()
        return content(read, name)
    hint = ""
    if isinstance(image, list | tuple):
        hint = ": numpy.array(image, numpy.uint8)"
    elif hasattr(image, "__array__"):
        hint = ": numpy.asarray(image)"
    raise InvalidInput(
        f"{name}: expected an array of 28 × 28, the bytes or the path of an image file, an open file, or a Pillow "
        f"image; got {type(image).__name__}{hint}"
    )


@contextmanager
def reading(file: Any, name: str) -> Iterator[None]:
    """A context for reading an open file: its exceptions become an InvalidInput."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name}: {_TEXT}") from error
    except UnsupportedOperation as error:
        raise InvalidInput(f'{name}: the file is not open for reading: open it with mode "rb"') from error
    except ValueError as error:  # it is closed
        raise InvalidInput(f"{name}: cannot read the file: {error}") from error
    except OSError as error:
        raise unreadable(error, str(getattr(file, "name", None) or name)) from error


def content(read: Any, name: str) -> Encoded:
    """The result of a file's `read`, as it is sent. InvalidInput unless it is bytes, and not empty."""
    if isinstance(read, BYTES) and len(read):
        return Encoded(is_file=True, data=bytes(read))
    if isinstance(read, str):
        raise InvalidInput(f"{name}: {_TEXT}")
    if isinstance(read, BYTES):
        raise InvalidInput(f"{name}: the file is at its end, or empty: image.seek(0) reads it from its beginning")
    raise InvalidInput(f"{name}: expected a file whose read() returns bytes; got {type(read).__name__}")


def reads_as_coroutine(image: object) -> bool:
    """Whether it is an upload of an asynchronous framework, whose `read` must be awaited."""
    return iscoroutinefunction(getattr(image, "read", None))


def blocks(image: object) -> bool:
    """Whether encoding it reads a file or compresses an image, which an event loop should not wait for."""
    return not isinstance(image, AT_HAND)


def _png(image: Any, name: str) -> bytes:
    """A Pillow image as a PNG, upright and in a mode that PNG supports.

    InvalidInput, naming `name`, if that is impossible.
    """
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
    except Exception as error:  # Pillow and its plugins raise errors of many types
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
