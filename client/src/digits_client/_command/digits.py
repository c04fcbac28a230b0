"""Ten drawn digits, for measuring a server: the server counts its answers, and these look like handwritten digits."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

PEN_PIXELS = 1.9
"""Distance from the middle of a stroke at which it ends; half of it is soft."""

STROKES = (
    "14,4 10,6 8,10 8,17 10,22 14,24 18,22 20,17 20,10 18,6 14,4",
    "15,4 14,14 13,24",
    "8,9 10,6 15,3 18,6 18,10 15,15 11,20 9,22 14,23 21,23",
    "9,5 14,4 18,6 18,10 13,13 18,15 19,19 17,23 13,24 8,22",
    "10,6 9,15 14,17 17,15; 19,5 18,14 16,23",
    "19,3 11,5 9,13 14,11 18,14 18,19 14,23 8,22",
    "16,4 13,8 10,13 10,16 10,21 15,22 17,21 18,18 17,15 12,14 10,18",
    "8,8 14,7 18,8 17,10 15,16 13,19 12,24",
    "13,13 10,10 9,7 14,4 17,7 19,11 13,12 9,17 10,19 15,23 20,21 18,18 14,13",
    "18,9 15,13 12,11 10,10 11,6 14,5 17,8 18,9 18,15 17,18 15,23",
)
"""The digits from 0 to 9: strokes of points x,y in an image of 28 by 28 pixels."""


def drawn_digits() -> NDArray[np.uint8]:
    """The digits from 0 to 9, uint8[10, 28, 28], ink on a background of 0."""
    return np.stack([_drawn(strokes) for strokes in STROKES])


def _drawn(strokes: str) -> NDArray[np.uint8]:
    lines = [[[float(value) for value in point.split(",")] for point in line.split()] for line in strokes.split(";")]
    distances = [_distances(np.array(ends)) for line in lines for ends in pairwise(line)]
    ink = (PEN_PIXELS - np.min(distances, axis=0)) / (PEN_PIXELS / 2)
    image: NDArray[np.uint8] = (255 * ink.clip(0, 1)).astype(np.uint8)
    return image


def _distances(ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distance in pixels of each pixel from the line between two points, x and y: float[28, 28]."""
    pixels = np.stack(np.meshgrid(np.arange(28), np.arange(28)), axis=-1)
    start, along = ends[0], ends[1] - ends[0]
    share = ((pixels - start) @ along / (along @ along)).clip(0, 1)
    distances: NDArray[np.float64] = np.linalg.norm(pixels - start - share[..., None] * along, axis=-1)
    return distances
