"""Finds the ink of the digit on a page: without frames, specks, and ink that enters from the edge."""

import numpy as np
from PIL import Image, ImageFilter

from digits_server.errors import InvalidRequest
from digits_server.pictures import Ink
from digits_server.pictures.components import Box, Labels, Mask, box_of, label

SMALL_SIDE = 160
"""Pixels of the longer side on which the pieces are told apart."""

LEAST_CONTRAST = 16
"""With fewer grey levels (of 255) between paper and ink, there is no digit."""

LEAST_SHARE = 0.03
"""Share of the largest piece's ink below which another one is a speck."""

REACH = 0.45
"""How far from a part of the digit, as a share of its main piece's side, another one may lie and still be a part."""

MARGIN = 0.1
"""Share of the page, on each side, in which frames and shadows of the edge lie."""


def digit_in(ink: Ink, name: str) -> Ink:
    """The ink of the digit alone, cropped to it, from 0 to 1. `name` is the field to name in errors.

    Raises InvalidRequest if there is no ink.
    """
    image = Image.fromarray(ink)
    image.thumbnail((SMALL_SIDE, SMALL_SIDE), Image.Resampling.BOX)
    small = np.asarray(image)
    if small.max() < LEAST_CONTRAST:
        raise InvalidRequest(f"{name}: expected a picture of a digit, got one even shade")
    level = threshold(small)
    labels = label(small > level)
    parts = Image.fromarray(np.isin(labels, _parts(labels, small))).convert("L").filter(ImageFilter.MaxFilter(3))
    ours = np.asarray(parts.resize((ink.shape[1], ink.shape[0]), Image.Resampling.NEAREST)) > 0
    alone = np.where(ours, ink, 0)
    box = box_of(alone > min(level, alone.max() / 2))
    cut = alone[box.top : box.bottom, box.left : box.right]
    full = np.float32(np.percentile(cut[cut > min(level, cut.max() / 2)], 75))
    whole: Ink = np.minimum(cut / full, 1)
    return whole


def threshold(ink: Ink) -> float:
    """The level that separates ink from paper best: the means of the two classes are farthest apart.

    (N. Otsu, "A threshold selection method from gray-level histograms", 1979)
    """
    counts, edges = np.histogram(ink, 128)
    levels = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts)[:-1], np.cumsum(counts * levels)[:-1]
    above, rest = counts.sum() - below, (counts * levels).sum() - sums
    apart = below * above * np.square(sums / np.maximum(below, 1) - rest / np.maximum(above, 1))
    return float(edges[1 + int(apart.argmax())])


def _parts(labels: Labels, ink: Ink) -> list[int]:
    """The labels of the digit's pieces."""
    amounts = np.bincount(labels.ravel(), ink.ravel()).astype(np.float64)
    amounts[0] = 0
    shares = amounts / amounts.max()
    boxes = {int(piece): box_of(labels == piece) for piece in np.flatnonzero(shares > LEAST_SHARE / 3)}
    inner = {piece: box for piece, box in boxes.items() if not _marginal(labels == piece)} or boxes
    main = max(inner, key=lambda piece: float(shares[piece]))
    while framed := [piece for piece in inner if _frames(labels, main, boxes[main], boxes[piece])]:
        main = max(framed, key=lambda piece: float(shares[piece]))
    reach = REACH * boxes[main].side
    parts: list[int] = []
    found = [main]
    while found:
        parts += found
        found = [
            piece
            for piece, box in inner.items()
            if piece not in parts
            and shares[piece] > LEAST_SHARE * shares[main]
            and any(box.meets(boxes[part], reach) for part in parts)
            and box.within(boxes[main], boxes[main].side)
            and not _frames(labels, piece, box, boxes[main])
        ]
    return parts


def _marginal(piece: Mask) -> bool:
    """Whether a piece lies mostly along the edges of the page, touching one of them."""
    rows, columns = (round(side * MARGIN) for side in piece.shape)
    touching = piece[0].any() or piece[-1].any() or piece[:, 0].any() or piece[:, -1].any()
    inside = piece[rows : len(piece) - rows, columns : piece.shape[1] - columns].sum()
    return bool(touching and inside < 0.5 * piece.sum())


def _frames(labels: Labels, main: int, around: Box, inside: Box) -> bool:
    """Whether the piece `main` is a frame around another one: hollow, with something large inside."""
    rows, columns = (around.bottom - around.top) // 6, (around.right - around.left) // 6
    hollow = labels[around.top + rows : around.bottom - rows, around.left + columns : around.right - columns]
    return inside.side > around.side / 3 and inside.within(around, -1) and not (hollow == main).any()
