"""Adds a margin to pictures that are cropped so closely that their edges show ink.

This is possible only for pictures of two even shades: their paper has one colour, and there is no light to estimate.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits_server.pictures import Picture
from digits_server.pictures.components import Mask
from digits_server.pictures.digit import threshold
from digits_server.pictures.ink import BAND, SMALL_SIDE

EVENNESS = 0.25
"""How far a pixel may be off its shade, as a share of the distance between the two shades."""

MOST_BETWEEN = 0.15
"""Share of pixels that may be farther off, between the two shades: the soft edges of strokes."""

MOST_BEYOND = 0.01
"""Share of pixels that may be farther off, outside the two shades; in a picture with a shadow, the ink is there."""

LEAST_INK = 0.1
"""Share of the band along the edges that is ink when a picture is cut too close."""

UNBROKEN = 0.95
"""Share of a ring around the picture that must be of one shade, so that the ring is paper or a frame and not a
digit."""

MARGIN = 0.15
"""Share of the longer side that is added on each side."""


def with_margin(picture: Picture) -> Picture:
    """The picture, with paper around it if it was cut to its ink."""
    image = Image.fromarray(picture)
    image.thumbnail((SMALL_SIDE, SMALL_SIDE), Image.Resampling.BOX)
    small = np.asarray(image, np.float32)
    first = _two_shades(small)
    if first is None:
        return picture
    paper = first if _is_paper(first) else ~first
    band = max(1, round(min(paper.shape) * BAND))
    if sum((~ring).sum() for ring in _rings(paper, band)) < LEAST_INK * sum(ring.size for ring in _rings(paper, band)):
        return picture
    margin = round(max(picture.shape) * MARGIN)
    height, width = picture.shape[:2]
    page = np.empty((height + 2 * margin, width + 2 * margin, 3), np.uint8)
    page[:] = np.median(small[paper], axis=0)
    page[margin : margin + height, margin : margin + width] = picture
    return page


def _two_shades(small: NDArray[np.float32]) -> Mask | None:
    """The pixels of one of a picture's two shades; None if it has more shades.

    The two are separated along the colour in which the picture varies most.
    """
    flat = small.reshape(-1, 3) - small.mean(axis=(0, 1))
    shades = (flat @ np.linalg.eigh(flat.T @ flat)[1][:, -1]).astype(np.float32).reshape(small.shape[:2])
    mask = shades > threshold(shades)
    if mask.all() or not mask.any():
        return None
    high, low = np.median(shades[mask]), np.median(shades[~mask])
    place = (shades - low) / (high - low)
    far = np.abs(place - mask) > EVENNESS
    beyond = far & (np.abs(place - 0.5) > 0.5)
    return mask if far.mean() <= MOST_BETWEEN and beyond.mean() <= MOST_BEYOND else None


def _is_paper(shade: Mask) -> bool:
    """Whether a shade is the paper: the innermost unbroken ring along the edges is of it, or else most of the edge.

    A frame is an unbroken ring too, but there is paper within it; digits, being round, leave the corners to the paper.
    """
    shares = [float(ring.mean()) for ring in _rings(shade, max(1, round(min(shade.shape) * BAND)))]
    unbroken = [share for share in shares if abs(share - 0.5) >= UNBROKEN - 0.5]
    return (unbroken[-1] if unbroken else shares[0]) >= 0.5


def _rings(mask: Mask, count: int) -> list[Mask]:
    """The pixels around the edges of a picture, ring by ring inwards."""
    rings = []
    for _ in range(count):
        if min(mask.shape) < 3:
            break
        rings.append(np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]]))
        mask = mask[1:-1, 1:-1]
    return rings or [mask.ravel()]
