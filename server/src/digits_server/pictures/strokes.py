"""The width of strokes: hairlines and bold type become as wide as the pens of the MNIST set."""

import numpy as np
from PIL import Image, ImageFilter

from digits_server.pictures import Ink
from digits_server.pictures.components import box_of

FINENESS = 4
"""Pixels here for each pixel of the set: 80 for a digit's 20."""

WIDTH = 3.0
"""Pixels of the set across a stroke, by the measure below; half of the set's digits lie between 2.2 and 3.0."""


def as_penned(digit: Ink, side: int) -> Ink:
    """A digit, 0 to 1, larger than `side` by at most FINENESS.

    Reduced to `side` pixels, its strokes are as wide as a pen's.
    """
    scale = side * FINENESS / max(digit.shape)
    size = (max(1, round(digit.shape[1] * scale)), max(1, round(digit.shape[0] * scale)))
    image = Image.fromarray(digit).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)
    fine = np.pad(np.asarray(image), 2 * FINENESS)
    width = stroke_width(fine) / FINENESS
    change = round((WIDTH - width) * FINENESS / 2)
    image = Image.fromarray(fine)
    for _ in range(abs(change)):
        changed = image.filter(ImageFilter.MaxFilter(3) if change > 0 else ImageFilter.MinFilter(3))
        if not changed.getextrema()[1]:  # ink with many small holes looks wide, and would be thinned to nothing
            break
        image = changed
    penned = np.asarray(image)
    box = box_of(penned >= min(0.25, penned.max()))
    return penned[box.top : box.bottom, box.left : box.right]


def stroke_width(ink: Ink) -> float:
    """Pixels across a stroke, on average: twice its area for each pixel of its outline.

    An outline along the grid's rows and columns is longer than the line it follows, on average by 4 / π.
    """
    mask = ink > 0.5
    outline = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
    return float(2 * mask.sum() / max(outline * np.pi / 4, 1))
