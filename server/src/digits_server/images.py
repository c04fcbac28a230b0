"""Bytes to the pixels the model takes: uint8[N, 28, 28], 0 background to 255 ink.

Image files are brought to the form of the MNIST set, as its makers describe it (Y. LeCun, C. Cortes, C. Burges, "The
MNIST database of handwritten digits"): the digit scaled to fit 20 × 20 pixels with its proportions kept, and placed in
28 × 28 with its centre of mass in the middle.
"""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from digits_server.errors import InvalidRequest, RequestTooLarge
from digits_server.runtimes import Images

SIDE = 28
PIXELS = SIDE * SIDE
DIGIT_SIDE = 20
"""Pixels of the longer side of a digit in the MNIST images."""

FORMATS = ("PNG", "JPEG")
WORKING_SIDE = 512
"""Pixels of the longer side a file is reduced to before anything is measured on it: plenty for 20, cheap for 4,096."""

Image.MAX_IMAGE_PIXELS = None  # the bound is ours, exact and with its own status: `max_pixels` below

FAINT = 0.2
"""Share of the darkest ink below which a pixel does not count as ink: paper has grain, JPEG has ringing."""

LEAST_CONTRAST = 16
"""Grey levels between paper and ink, of 255, below which there is no digit to see."""


def from_pixels(pixels: bytes | memoryview) -> Images:
    """A view, not a copy, of raw pixels: N × 784 bytes → uint8[N, 28, 28]. InvalidRequest for any other length."""
    if not pixels or len(pixels) % PIXELS:
        raise InvalidRequest(
            f"images: expected a positive multiple of {PIXELS} bytes (28 × 28 pixels an image), got {len(pixels)}"
        )
    return np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE)


def from_file(data: bytes, name: str, max_pixels: int) -> Images:
    """One encoded image file → uint8[28, 28].

    `name` is the field to name in errors. RequestTooLarge beyond `max_pixels` (width × height), which is read from the
    header before any pixel is decoded; InvalidRequest for what is no PNG or JPEG, is damaged, or shows nothing.
    """
    return normalise(_grey(data, name, max_pixels), name)


def normalise(grey: NDArray[np.uint8], name: str = "image") -> Images:
    """A grey picture of one digit, uint8[height, width], dark on light or light on dark → uint8[28, 28].

    A picture that already has the form of the set, 28 × 28 with a dark edge, stays as it is.
    """
    paper = int(np.median(_edge(grey)))
    if grey.shape == (SIDE, SIDE) and paper < 128:
        return grey
    ink = np.abs(grey.astype(np.float32) - paper)
    darkest = float(ink.max())
    if darkest < LEAST_CONTRAST:
        raise InvalidRequest(f"{name}: expected a picture of a digit, got one even shade")
    ink[ink < FAINT * darkest] = 0
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * np.float32(255 / darkest)
    return _centred(_scaled(digit))


def _grey(data: bytes, name: str, max_pixels: int) -> NDArray[np.uint8]:
    """Decodes a file to uint8[height, width], upright, transparency over white, at most WORKING_SIDE a side."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise RequestTooLarge(
                    f"{name}: {image.width} × {image.height} pixels; at most {max_pixels} in all (max_image_pixels)"
                )
            image.draft("L", (WORKING_SIDE, WORKING_SIDE))
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright.convert("RGBA"))
            if upright.mode.startswith("I"):  # 16 bits a pixel: keep the upper eight
                upright = Image.fromarray((np.asarray(upright).astype(np.uint32) >> 8).astype(np.uint8))
            grey = upright.convert("L")
            grey.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
            return np.asarray(grey)
    except RequestTooLarge:
        raise
    except Exception as error:  # Pillow raises what it meets: OSError, SyntaxError, ValueError, struct.error, …
        raise InvalidRequest(
            f"{name}: expected a whole PNG or JPEG file, got {len(data)} bytes that are none"
        ) from error


def _edge(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _scaled(digit: NDArray[np.float32]) -> NDArray[np.float32]:
    """The digit with its longer side at DIGIT_SIDE pixels."""
    height, width = digit.shape
    scale = DIGIT_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(
        Image.fromarray(digit).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)
    )


def _centred(digit: NDArray[np.float32]) -> Images:
    """The digit in 28 × 28, its centre of mass as near the middle as whole pixels and the frame allow."""
    height, width = digit.shape
    mass = digit.sum()
    centre_row = float((digit.sum(axis=1) @ np.arange(height)) / mass)
    centre_column = float((digit.sum(axis=0) @ np.arange(width)) / mass)
    top = min(max(round(SIDE / 2 - 0.5 - centre_row), 0), SIDE - height)
    left = min(max(round(SIDE / 2 - 0.5 - centre_column), 0), SIDE - width)
    frame = np.zeros((SIDE, SIDE), np.uint8)
    frame[top : top + height, left : left + width] = np.clip(np.rint(digit), 0, 255)
    return frame
