"""Digits as ink: coverage from 0 (paper) to 1 (ink), float32[height, width], of any size and weight."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Ink = NDArray[np.float32]

FINENESS = 4
"""Strokes are made lighter and heavier on a grid this many times finer than the set's."""

MIDDLE = 110
"""The level, of 255, that parts the set's ink from its paper."""

HOLLOW = 40
"""Levels by which a loop's hollow is lighter than its strokes at least."""

LOOP = 13
"""Pixels of the fine grid across the widest hollow that is looked for."""

SMOOTHING = 2
"""Ink is drawn this many times larger and then reduced, which gives its edges their grey."""


def pen(digit: NDArray[np.uint8], side: int, weight: int = 0) -> Ink:
    """A digit of the MNIST set, uint8[28, 28], as if a pen had drawn it `side` pixels high, with sharp edges.

    `weight` makes its strokes thicker, in quarters of the set's pixels on either side.
    """
    mask = _fine(digit).point(lambda value: 255 if value > MIDDLE else 0)
    for _ in range(weight):
        mask = mask.filter(ImageFilter.MaxFilter(3))
    return _drawn(mask, side)


def hairline(digit: NDArray[np.uint8], side: int) -> Ink:
    """The same with strokes as thin as they get without breaking: about a fiftieth of its height."""
    return _drawn(_middle_line(digit).filter(ImageFilter.MaxFilter(3)), side)


def retraced(digit: NDArray[np.uint8], side: int) -> Ink:
    """The same middle line of the strokes, but drawn as wide as the set's pens did: three of its pixels."""
    line = _middle_line(digit)
    for size in (5, 5, 3):  # rounder than one square of 11
        line = line.filter(ImageFilter.MaxFilter(size)).filter(ImageFilter.ModeFilter(3))
    return _drawn(line, side)


def as_pixels(ink: Ink) -> NDArray[np.uint8]:
    """Ink of the set's frame, straight to the set's form: uint8[28, 28]."""
    reduced = np.asarray(Image.fromarray(ink).resize((28, 28), Image.Resampling.BOX))
    pixels: NDArray[np.uint8] = np.rint(reduced * 255).astype(np.uint8)
    return pixels


def _fine(digit: NDArray[np.uint8]) -> Image.Image:
    large = Image.fromarray(digit).resize((28 * FINENESS,) * 2, Image.Resampling.BICUBIC)
    return large.filter(ImageFilter.GaussianBlur(0.4 * FINENESS))


def _middle_line(digit: NDArray[np.uint8]) -> Image.Image:
    """The middle line of a digit's strokes, one pixel wide on the fine grid.

    What is a little lighter than the ink around it is a loop's hollow, nearly filled: without it an 8 would lose its
    loops and be one no more.
    """
    fine = _fine(digit)
    filled = fine.filter(ImageFilter.MaxFilter(LOOP)).filter(ImageFilter.MinFilter(LOOP))
    values = np.asarray(fine, np.int16)
    strokes = (values > MIDDLE) & (np.asarray(filled, np.int16) - values < HOLLOW)
    return Image.fromarray(thinned(strokes)).convert("L")


def thinned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The middle line of strokes, one pixel wide and as connected as they were.

    (T. Zhang, C. Suen, "A fast parallel algorithm for thinning digital patterns", 1984)
    """
    mask = np.pad(mask, 1)
    while True:
        before = mask.sum()
        for first in (True, False):
            north, south = np.roll(mask, 1, 0), np.roll(mask, -1, 0)
            west, east = np.roll(mask, 1, 1), np.roll(mask, -1, 1)
            around = np.stack(
                [
                    *(north, np.roll(north, -1, 1), east, np.roll(south, -1, 1)),
                    *(south, np.roll(south, 1, 1), west, np.roll(north, 1, 1)),
                ]
            )
            neighbours = around.sum(axis=0)
            turns = (~around & np.roll(around, -1, axis=0)).sum(axis=0)
            open_side = ~(north & east & south) & ~(east & south & west)
            open_other = ~(north & east & west) & ~(north & south & west)
            gone = (neighbours >= 2) & (neighbours <= 6) & (turns == 1) & (open_side if first else open_other)
            mask = mask & ~gone
        if mask.sum() == before:
            return mask[1:-1, 1:-1]


def face(font: Path, character: str, side: int) -> Ink:
    """A digit or letter in a typeface, whose larger side has `side` pixels."""
    drawn = ImageFont.truetype(str(font), side * SMOOTHING)
    left, top, right, bottom = map(int, drawn.getbbox(character))
    glyph = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(glyph).text((1 - left, 1 - top), character, fill=255, font=drawn)
    scale = side / max(glyph.size)
    size = (max(1, round(glyph.width * scale)), max(1, round(glyph.height * scale)))
    return np.asarray(glyph.resize(size, Image.Resampling.LANCZOS), np.float32) / np.float32(255)


def _drawn(mask: Image.Image, side: int) -> Ink:
    """A mask on the fine grid, `side` pixels high with smooth edges."""
    large = mask.filter(ImageFilter.GaussianBlur(1)).resize((side * SMOOTHING,) * 2, Image.Resampling.BICUBIC)
    sharp = large.point(lambda value: 255 if value > 127 else 0)
    return np.asarray(sharp.resize((side, side), Image.Resampling.BOX), np.float32) / np.float32(255)
