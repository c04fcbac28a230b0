"""From bytes to the pixels of the model's input: uint8[N, 28, 28], 0 background to 255 ink.

Image files are converted to the form of the MNIST set, as its makers describe it (Y. LeCun, C. Cortes, C. Burges, "The
MNIST database of handwritten digits"): the digit scaled to fit 20 × 20 pixels with its proportions kept, and placed in
28 × 28 with its centre of mass in the middle.
"""

import numpy as np
from PIL import Image

from digits_server.errors import InvalidRequest
from digits_server.pictures import Ink, Picture
from digits_server.pictures.digit import digit_in
from digits_server.pictures.files import picture_in
from digits_server.pictures.ink import ink_on
from digits_server.pictures.margin import with_margin
from digits_server.pictures.strokes import as_penned
from digits_server.runtimes import Images

SIDE = 28
PIXELS = SIDE * SIDE
DIGIT_SIDE = 20
"""Pixels of the longer side of a digit in the MNIST images."""


def from_pixels(pixels: bytes | memoryview) -> Images:
    """A view of raw pixels: N × 784 bytes → uint8[N, 28, 28]. Raises InvalidRequest for any other length."""
    if not pixels or len(pixels) % PIXELS:
        raise InvalidRequest(
            f"images: expected a positive multiple of {PIXELS} bytes (28 × 28 pixels an image), got {len(pixels)}"
        )
    return np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE)


def from_file(data: bytes, name: str, max_pixels: int) -> Images:
    """One encoded image file → uint8[28, 28].

    `name` is the field to name in errors. Raises RequestTooLarge beyond `max_pixels` (width × height), which is read
    from the header before any pixel is decoded, and InvalidRequest if the file is not a valid image or shows nothing.
    """
    return normalise(picture_in(data, name, max_pixels), name)


def normalise(picture: Picture, name: str = "image") -> Images:
    """A picture of one digit, uint8[height, width, 3], of any colours → uint8[28, 28].

    A grey picture that already has the form of the set, 28 × 28 with nearly all of its edge black, stays unchanged; a
    negative of one is inverted.
    """
    grey = picture[:, :, 0]
    if grey.shape == (SIDE, SIDE) and (picture == grey[:, :, None]).all():
        edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        paper = int(np.median(edge))
        if paper in (0, 255):
            return grey if paper == 0 else 255 - grey
    return _centred(_reduced(as_penned(digit_in(ink_on(with_margin(picture)), name), DIGIT_SIDE)))


def _reduced(digit: Ink) -> Ink:
    """The digit with its longer side at DIGIT_SIDE pixels, from 0 to 255."""
    height, width = digit.shape
    scale = DIGIT_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    reduced = np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.BOX))
    return reduced * np.float32(255 / reduced.max())


def _centred(digit: Ink) -> Images:
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
