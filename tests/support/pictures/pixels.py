"""Images of a plain colour, for tests that do not ask what is on them. Scripted servers read their answer from it."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def image(value: int) -> NDArray[np.uint8]:
    """The image whose every pixel is `value`, uint8[28, 28]."""
    return np.full((28, 28), value, np.uint8)


IMAGE = image(7)


def png(image: NDArray[np.uint8]) -> bytes:
    """The image as a PNG file."""
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
