"""What digits are found on: paper, boards, shadows, rules, frames, grain. Each kind of page makes one picture file."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.images.ink import Ink, hairline, pen

Colour = tuple[int, int, int]
Canvas = NDArray[np.float32]
Random = np.random.Generator
Digit = NDArray[np.uint8]

SIDE = 280
"""Pixels of the usual page's side."""

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
PEN: Colour = (28, 34, 92)
PAPER: Colour = (247, 243, 230)


@dataclass(frozen=True, slots=True)
class Page:
    """One kind of page: `make` turns a digit of the set, uint8[28, 28], into the bytes of a picture file."""

    title: str
    make: Callable[[Digit, Random], bytes]


def sheet(colour: Colour, width: int = SIDE, height: int = SIDE) -> Canvas:
    return np.full((height, width, 3), colour, np.float32)


def write(canvas: Canvas, ink: Ink, colour: Colour, at: tuple[int, int] | None = None) -> Canvas:
    """The page with `ink` on it; `at` is its top left corner (row, column), else the middle."""
    height, width = ink.shape
    top, left = at or ((canvas.shape[0] - height) // 2, (canvas.shape[1] - width) // 2)
    canvas = canvas.copy()
    part = canvas[top : top + height, left : left + width]
    part += ink[:, :, None] * (np.array(colour, np.float32) - part)
    return canvas


def picture(canvas: Canvas) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(canvas), 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def grain(canvas: Canvas, random: Random, deviation: float) -> Canvas:
    return canvas + random.normal(0, deviation, canvas.shape[:2])[:, :, None].astype(np.float32)


def ramp(canvas: Canvas, random: Random, least: float) -> Canvas:
    """Light that fades across the page, down to the share `least`."""
    height, width = canvas.shape[:2]
    angle = random.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    along = (rows * np.sin(angle) + columns * np.cos(angle)) / np.sqrt(2)
    light = least + (1 - least) * (1 - along) / 2
    lit: Canvas = canvas * light[:, :, None].astype(np.float32)
    return lit


def shadow(canvas: Canvas, random: Random, depth: float, blur: float) -> Canvas:
    """A shadow's straight edge somewhere across the page, `blur` pixels soft."""
    height, width = canvas.shape[:2]
    angle, offset = random.uniform(0, 2 * np.pi), random.uniform(-0.3, 0.3)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    dark = Image.fromarray(((rows * np.sin(angle) + columns * np.cos(angle) > offset) * 255).astype(np.uint8))
    share = np.asarray(dark.filter(ImageFilter.GaussianBlur(blur)), np.float32) / np.float32(255)
    shaded: Canvas = canvas * (1 - np.float32(depth) * share)[:, :, None]
    return shaded


def ruled(canvas: Canvas, every: int, colour: Colour, *, both: bool) -> Canvas:
    canvas = canvas.copy()
    for start in range(every // 2, canvas.shape[0], every):
        canvas[start : start + 2] = colour
    if both:
        for start in range(every // 2, canvas.shape[1], every):
            canvas[:, start : start + 2] = colour
    return canvas


def turned(image: Image.Image, degrees: float, paper: Colour) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=paper)


def _plain(digit: Digit, _: Random) -> bytes:
    return encoded(picture(write(sheet(WHITE), pen(digit, 220), BLACK)))


def _chalk(digit: Digit, random: Random) -> bytes:
    board = grain(sheet((38, 62, 52)), random, 4)
    return encoded(picture(write(board, pen(digit, 220), (235, 235, 225))))


def _coloured(digit: Digit, random: Random) -> bytes:
    colours: list[Colour] = [(180, 30, 40), (20, 110, 60), (30, 60, 200), (120, 40, 140), (200, 90, 10)]
    return encoded(picture(write(sheet(PAPER), pen(digit, 220), colours[random.integers(5)])))


def _colours_alike(digit: Digit, random: Random) -> bytes:
    """Ink and paper of one lightness: only their colours differ."""
    pairs: list[tuple[Colour, Colour]] = [((226, 60, 50), (40, 140, 50)), ((90, 120, 240), (170, 120, 30))]
    ink, paper = pairs[random.integers(2)]
    return encoded(picture(write(sheet(paper), pen(digit, 220), ink)))


def _gradient(digit: Digit, random: Random) -> bytes:
    page = write(sheet(PAPER), pen(digit, 220), PEN)
    return encoded(picture(ramp(page, random, 0.35)))


def _soft_shadow(digit: Digit, random: Random) -> bytes:
    page = write(sheet(PAPER), pen(digit, 220), PEN)
    return encoded(picture(shadow(page, random, 0.4, 20)))


def _hard_shadow(digit: Digit, random: Random) -> bytes:
    page = write(sheet(PAPER), pen(digit, 220), PEN)
    return encoded(picture(shadow(page, random, 0.35, 1)))


def _grainy(digit: Digit, random: Random) -> bytes:
    return encoded(picture(grain(write(sheet((205, 205, 200)), pen(digit, 220), (50, 50, 60)), random, 22)))


def _ruled(digit: Digit, _: Random) -> bytes:
    return encoded(picture(write(ruled(sheet(PAPER), 36, (150, 175, 215), both=False), pen(digit, 220), PEN)))


def _squared(digit: Digit, _: Random) -> bytes:
    return encoded(picture(write(ruled(sheet(WHITE), 24, (165, 185, 205), both=True), pen(digit, 220), PEN)))


def _thin(digit: Digit, _: Random) -> bytes:
    return encoded(picture(write(sheet(WHITE), hairline(digit, 220), BLACK)))


def _thick(digit: Digit, _: Random) -> bytes:
    return encoded(picture(write(sheet(WHITE), pen(digit, 220, 3), BLACK)))


def _small(digit: Digit, random: Random) -> bytes:
    side = int(random.integers(56, 80))
    at = int(random.integers(0, 400 - side)), int(random.integers(0, 640 - side))
    return encoded(picture(write(sheet(PAPER, 640, 400), pen(digit, side), PEN, at)))


def _tight(digit: Digit, _: Random) -> bytes:
    """Cut so close that the ink touches every edge."""
    ink = pen(digit, 220)
    rows, columns = np.flatnonzero(ink.max(axis=1) > 0.5), np.flatnonzero(ink.max(axis=0) > 0.5)
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return encoded(picture(write(sheet(WHITE, cut.shape[1], cut.shape[0]), cut, BLACK)))


def _transparent(digit: Digit, random: Random) -> bytes:
    """Ink of any colour, white too, on nothing."""
    ink = pen(digit, 220)
    colours: list[Colour] = [BLACK, PEN, WHITE, (250, 210, 40)]
    layer = np.empty((*ink.shape, 4), np.uint8)
    layer[:, :, :3] = colours[random.integers(4)]
    layer[:, :, 3] = np.rint(ink * 255)
    return encoded(Image.fromarray(layer))


def _jpeg(digit: Digit, random: Random) -> bytes:
    page = write(sheet(PAPER), pen(digit, 220), PEN)
    return encoded(picture(page), "JPEG", quality=int(random.integers(5, 20)))


def _turned(digit: Digit, random: Random) -> bytes:
    return encoded(turned(picture(write(sheet(PAPER), pen(digit, 220), PEN)), random.uniform(-15, 15), PAPER))


def _framed(digit: Digit, random: Random) -> bytes:
    """A frame, as scanned cards and form fields have: on the edge or a little inside."""
    page = picture(write(sheet(WHITE), pen(digit, 190), BLACK))
    inset = int(random.integers(0, 14))
    ImageDraw.Draw(page).rectangle((inset, inset, SIDE - 1 - inset, SIDE - 1 - inset), outline=(40, 40, 40), width=4)
    return encoded(page)


def _specks(digit: Digit, random: Random) -> bytes:
    page = picture(write(sheet(PAPER), pen(digit, 200), PEN))
    draw = ImageDraw.Draw(page)
    for _ in range(12):
        row, column, size = (int(random.integers(least, most)) for least, most in ((0, SIDE), (0, SIDE), (1, 5)))
        draw.ellipse((column - size, row - size, column + size, row + size), fill=(60, 50, 50))
    return encoded(page)


def _pencil(digit: Digit, random: Random) -> bytes:
    page = write(sheet((240, 238, 232)), pen(digit, 220), (185, 185, 188))
    return encoded(picture(grain(page, random, 5)))


def _photograph(digit: Digit, random: Random) -> bytes:
    """Everything at once, as a telephone has it."""
    side = int(random.integers(110, 200))
    at = int(random.integers(20, 320 - side - 20)), int(random.integers(20, 420 - side - 20))
    page = write(sheet(PAPER, 420, 320), pen(digit, side), PEN, at)
    page = shadow(ramp(page, random, 0.6), random, 0.25, 12)
    image = turned(picture(page), random.uniform(-8, 8), (int(PAPER[0] * 0.8),) * 3)
    image = image.filter(ImageFilter.GaussianBlur(1.2))
    return encoded(picture(grain(np.asarray(image, np.float32), random, 5)), "JPEG", quality=60)


def _tiny(digit: Digit, _: Random) -> bytes:
    """The set's own 28 × 28 pixels, dark on light."""
    return encoded(Image.fromarray(255 - digit))


PAGES = [
    Page("black on white", _plain),
    Page("28 × 28, dark on light", _tiny),
    Page("chalk on a board", _chalk),
    Page("coloured ink", _coloured),
    Page("ink as light as its paper", _colours_alike),
    Page("fading light", _gradient),
    Page("soft shadow", _soft_shadow),
    Page("hard shadow", _hard_shadow),
    Page("grain", _grainy),
    Page("ruled paper", _ruled),
    Page("squared paper", _squared),
    Page("thin strokes", _thin),
    Page("thick strokes", _thick),
    Page("small, anywhere", _small),
    Page("cut to the ink", _tight),
    Page("transparent", _transparent),
    Page("strong JPEG", _jpeg),
    Page("turned ≤ 15°", _turned),
    Page("in a frame", _framed),
    Page("specks", _specks),
    Page("faint pencil", _pencil),
    Page("photograph", _photograph),
]
