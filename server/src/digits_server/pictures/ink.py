"""Finds the ink on a picture: removes the paper, the light on it and the rules printed on it.

It assumes no colour and no polarity. Paper is what lies along the edges; ink is what differs from it most, in any
direction of colour.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_server.pictures import Ink, Picture

SMALL_SIDE = 96
"""Pixels of the longer side on which paper and light are measured: both vary slowly."""

BAND = 0.12
"""Share of height and width, on each side, in which to look for the paper."""

TRUST = (64, 32, 16, 12, 8)
"""Grey levels that a pixel of the band may be off and still count half as paper, fit after fit."""

STIFFNESS = np.diag(np.array([1e-3, 1, 2, 1, 2, 2], np.float32) * 0.002)
"""Penalties for slope and curvature of the paper's light, so that it does not follow strokes along the edge."""

WIDEST_STROKE = 0.22
"""Share of the longer side: anything wider that is fainter than half the ink is shade."""

LEAST_LIGHT = 32
"""Grey levels: on darker paper, the ink is not corrected for the missing light."""

RULE_WIDTH = 0.03
"""Share of the height: anything thinner that crosses the whole page is a printed rule."""

RULE_COVER = 0.85
"""Share of a row that a rule covers at least; strokes beside it hide the rest."""


def ink_on(picture: Picture) -> Ink:
    """How far each pixel lies from the paper, towards the ink, in grey levels."""
    image = Image.fromarray(picture)
    image.thumbnail((SMALL_SIDE, SMALL_SIDE), Image.Resampling.BOX)
    small = np.asarray(image, np.float32)
    paper = _paper(small)
    colour = _colour(small - np.stack([_lit(small.shape, channel) for channel in paper.T], axis=-1))
    bare = paper @ colour
    bright = np.broadcast_to(_lit(small.shape, bare), small.shape[:2])
    shade = _shade(np.maximum(small @ colour - bright, 0))
    ground = Image.fromarray(bright + shade).resize((picture.shape[1], picture.shape[0]), Image.Resampling.BILINEAR)
    paper_here = np.asarray(ground)
    ink = np.maximum(picture @ colour - paper_here, 0)
    if colour.sum() < 0:  # dark ink takes away a share of the light: where there is less of it, the same ink shows less
        ink *= min(paper_here.min(), -LEAST_LIGHT) / np.minimum(paper_here, -LEAST_LIGHT)
    return _unruled(_unruled(ink).T).T


def _light(shape: tuple[int, ...]) -> tuple[Ink, ...]:
    """The components of the light on a page of this shape: level, slopes, curvatures, to be broadcast over the page."""
    rows = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    return np.ones((1, 1), np.float32), rows, rows * rows, columns, columns * columns, rows * columns


def _lit(shape: tuple[int, ...], factors: NDArray[np.float32]) -> Ink:
    """The light with these six factors, float32[height, width]."""
    total = np.zeros((1, 1), np.float32)
    for factor, part in zip(factors, _light(shape), strict=True):
        total = total + factor * part
    return total


def _paper(small: NDArray[np.float32]) -> NDArray[np.float32]:
    """The paper's colour under its light: factors of `_light` for each channel, float32[6, 3].

    It is fitted to the edges of the picture several times, each time with less weight for ink, dirt and frames.
    """
    height, width = small.shape[:2]
    band = np.ones((height, width), bool)
    rows, columns = max(1, round(height * BAND)), max(1, round(width * BAND))
    band[rows:-rows, columns:-columns] = False
    light = np.stack([np.broadcast_to(part, band.shape)[band] for part in _light(small.shape)], axis=-1)
    colours = small[band]
    paper = np.zeros((6, 3), np.float32)
    paper[0] = np.median(colours, axis=0)
    for trust in TRUST:
        off = np.abs(colours - light @ paper).max(axis=1)
        weighted = light * ((1 + np.square(off / trust)) ** -2)[:, None]
        paper = np.linalg.solve(weighted.T @ light + STIFFNESS * len(colours), weighted.T @ colours)
    return paper


def _colour(off: NDArray[np.float32]) -> NDArray[np.float32]:
    """The direction from paper to ink, float32[3], of length 1; `off` is the picture less its paper.

    It is the direction in which the picture varies most, with more weight for distant pixels. Of its two ends, the one
    with the more distant pixels is the ink.
    """
    flat = off.reshape(-1, 3)
    direction = np.linalg.eigh((flat * np.square(flat).sum(axis=1, keepdims=True)).T @ flat)[1][:, -1]
    return (direction if np.power(flat @ direction, 3).sum() > 0 else -direction).astype(np.float32)


def _shade(ink: Ink) -> Ink:
    """The part of the ink that is shade: wider than a stroke and fainter than half of it.

    Faintness is measured on a slightly narrower area, so that the soft edge of a wide stroke is not taken for shade.
    """
    size = round(max(ink.shape) * WIDEST_STROKE) | 1
    return np.where(_opened(ink, size - 4) < np.percentile(ink, 99.5) / 2, _opened(ink, size), 0)


def _opened(ink: Ink, size: int) -> Ink:
    """The ink without what is narrower than `size` pixels, an odd number."""
    return _over_windows(_over_windows(ink, max(size, 1), np.minimum), max(size, 1), np.maximum)


def _unruled(ink: Ink) -> Ink:
    """The ink without thin lines that cross the page from left to right."""
    rules = np.percentile(ink[:, ::4], 100 * (1 - RULE_COVER), axis=1).astype(np.float32)[:, None]
    size = round(len(rules) * RULE_WIDTH) | 1
    wide = _along(_along(rules, size, np.minimum, 0), size, np.maximum, 0)
    return np.maximum(ink - (rules - wide), 0)


def _over_windows(values: Ink, size: int, extreme: np.ufunc) -> Ink:
    """The extreme over a square of `size` pixels, an odd number, around each pixel."""
    return _along(_along(values, size, extreme, 0), size, extreme, 1)


def _along(values: Ink, size: int, extreme: np.ufunc, axis: int) -> Ink:
    """The extreme over `size` pixels of one axis: windows twice as long from two short ones, then the rest."""
    margins = [(size // 2, size // 2) if axis == each else (0, 0) for each in range(2)]
    values = np.moveaxis(np.pad(values, margins, mode="edge"), axis, 0)
    span = 1
    while span < size:
        step = min(span, size - span)
        values = extreme(values[:-step], values[step:])
        span += step
    return np.moveaxis(values, 0, axis)
