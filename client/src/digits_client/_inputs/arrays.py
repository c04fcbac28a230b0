"""Arrays of every usual form → the bytes of their pixels, if they have only one possible meaning."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_client._errors import InvalidInput

SHAPE = (28, 28)
PIXELS = 28 * 28
UINT8 = np.dtype(np.uint8)
ONE = frozenset({SHAPE, (28, 28, 1), (PIXELS,), (1, 28, 28), (1, PIXELS), (1, 28, 28, 1), (1, 1, 28, 28)})
"""The shapes of one image."""
SEVERAL = frozenset({SHAPE, (28, 28, 1), (PIXELS,), (1, 28, 28)})
"""Those of several images, without the number of images in front."""

FAINT = 16
"""The largest value of scales other than 0 to 255: 0 to 1 (slightly more after resizing), or 0 to 16 in scikit-learn's
digits. Numbers of types other than uint8 are taken as 0 to 255 only if the largest one is above this."""

FROM_UNIT = "(images * 255).round().astype(numpy.uint8)"
FROM_LARGEST = "(images * (255 / images.max())).round().astype(numpy.uint8)"
FROM_16_BITS = "(images // 257).astype(numpy.uint8)"
FROM_CENTRED = "((images + 1) * 127.5).round().astype(numpy.uint8)"
FROM_COLOUR = "(images[..., :3] @ [0.299, 0.587, 0.114]).round().astype(numpy.uint8)"


def check_form(array: NDArray[Any], name: str, *, several: bool) -> None:
    """InvalidInput unless the array has the shape of one image, or of several, and contains numbers or booleans."""
    forms = "an array of N × 28 × 28 or N × 784" if several else "an array of 28 × 28 or 784"
    shape = array.shape
    if shape[1:] not in SEVERAL if several else shape not in ONE:
        raise InvalidInput(f"{name}: expected {forms}; got {_shown(array)}{_hint_for_shape(shape, several)}")
    if array.dtype.kind not in "buif":
        raise InvalidInput(f"{name}: expected uint8 pixels, 0 background to 255 ink; got {array.dtype}")


def pixels(array: NDArray[Any], name: str, *, convert: bool = False) -> bytes:
    """The bytes, row by row, of an array whose form has been checked. InvalidInput when its values are ambiguous.

    uint8 is taken as it is, booleans as 0 and 255. Other numbers are taken as 0 to 255, and rounded, if they have no
    other possible meaning.

    convert  take floats as 0 to 1 instead
    """
    if array.dtype == UINT8:
        return array.tobytes()
    if array.dtype.kind == "b":
        return (array.astype(np.uint8) * 255).tobytes()
    if not array.size:
        return b""
    least, most = array.min(), array.max()
    if convert and array.dtype.kind == "f":
        if not (least >= 0 and most <= 1):  # true for NaN, too
            raise InvalidInput(f"{name}: expected values from 0 to 1 to convert; got {least:g} to {most:g}")
        return np.round(array.astype(np.float64) * 255).astype(np.uint8).tobytes()
    if least >= 0 and (most == 0 or FAINT < most <= 255):  # false for NaN
        return np.round(array).astype(np.uint8).tobytes()
    raise InvalidInput(
        f"{name}: expected uint8 pixels, 0 background to 255 ink; got {array.dtype} with values from {least:g} to "
        f"{most:g}{_hint_for_values(array, float(least), float(most))}"
    )


def _shown(array: NDArray[Any]) -> str:
    return " × ".join(map(str, array.shape)) or "a single number"


def _hint_for_shape(shape: tuple[int, ...], several: bool) -> str:
    if len(shape) >= 3 and shape[-1] in (3, 4) and shape[-3:-1] == SHAPE:
        return f"; for colours: {FROM_COLOUR}"
    if several and shape in ONE:
        return ": predict takes one image"
    if not several and shape[1:] in SEVERAL:
        return ": predict_batch takes several images"
    return ""


def _hint_for_values(array: NDArray[Any], least: float, most: float) -> str:
    """The line of code that converts them, for the usual scales."""
    if not (np.isfinite(least) and np.isfinite(most)):
        return ": replace values that are not finite numbers"
    if least >= -1 and least < 0 and most <= 1:
        return f"; for values from -1 to 1: {FROM_CENTRED}"
    if least < 0:
        return ": undo the normalisation"
    if most <= 1:
        also = ", or convert=True" if array.dtype.kind == "f" else ""
        return f"; for values from 0 to 1: {FROM_UNIT}{also}"
    if array.dtype == np.uint16:
        return f"; for values from 0 to 65,535: {FROM_16_BITS}"
    return f"; if {most:g} is ink: {FROM_LARGEST}"
