"""Images of digits, and images that show none: uint8[N, 28, 28], the same ones on every run.

What people send as picture files is drawn large and read as the server reads it.
"""

from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.images.faces import all_faces
from benchmarks.images.ink import face
from benchmarks.images.kinds import CHUNK, FACE_SIDE, SCHEMES
from benchmarks.images.pages import SIDE, encoded, picture, sheet, write
from digits_server.pictures.images import from_file
from digits_training.data import read

Images = NDArray[np.uint8]

LETTERS = "ACEFHKMNPRTUVWXacefhkmnprtuvwx"
"""The letters that are measured."""

LIKE_DIGITS = "BDGIJLOQSYZbdgijloqsyz"
"""Letters left out: the capital or the small letter looks like a digit in some typeface, as O, l, Z, S, b and g do."""

CLOTHES = Path("/usr/share/datasets/fashion-mnist")
CLOTHES_PACKAGE = "dataset-fashion-mnist"

SCRIBBLES = NOISES = 1000

STROKES = 4
"""Strokes of a scribble: from two to this many."""

WAVES = 3
"""Sine waves that add up to a stroke: the more, the more it winds."""

PEN = 22
"""Pixels across a stroke, on a page of 560."""

GRAINS = (1, 2, 4, 7)
"""Pixels across a square of noise, in turn."""

MOST_PIXELS = 16_777_216


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of image."""

    title: str
    images: Images


def all_kinds(pool: Executor) -> tuple[list[Kind], list[Kind]]:
    """Good images, and those that show no digit. FileNotFoundError names the Debian packages that are missing."""
    fonts, garments = [file for group in all_faces() for file in group.files], clothes(CLOTHES)
    good = [Kind("MNIST", read(None).test.images), Kind("printed", typeset("0123456789", fonts, pool))]
    scribbles = np.stack(list(pool.map(scribble, range(SCRIBBLES), chunksize=CHUNK)))
    unlike = [
        Kind("letters", typeset(LETTERS, fonts, pool)),
        Kind("clothes", garments),
        Kind("scribbles", scribbles),
        Kind("blank", blank()),
        Kind("noise", noise(NOISES)),
    ]
    return good, unlike


def typeset(characters: str, fonts: list[Path], pool: Executor) -> Images:
    """Each character in each font, on paper and in ink of several colours."""
    pairs = [(font, character) for font in fonts for character in characters]
    schemes = [SCHEMES[(place // len(characters) + place) % len(SCHEMES)] for place in range(len(pairs))]
    return np.stack(list(pool.map(_typeset, pairs, schemes, chunksize=CHUNK)))


def clothes(folder: Path) -> Images:
    """The test images of Fashion-MNIST. FileNotFoundError names its Debian package."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: apt-get install {CLOTHES_PACKAGE}")
    return read(folder).test.images


def scribble(seed: int) -> Images:
    """A few winding strokes of a pen on one page, as the server sees it: uint8[28, 28]."""
    random = np.random.default_rng(seed)
    page = Image.new("L", (2 * SIDE, 2 * SIDE), 255)
    draw = ImageDraw.Draw(page)
    for _ in range(random.integers(2, STROKES, endpoint=True)):
        points = [tuple(point) for point in _stroke(random) * SIDE * 0.75 + SIDE]
        draw.line(points, 0, PEN, "curve")
    return _seen(encoded(page.resize((SIDE, SIDE), Image.Resampling.BOX)))


def blank() -> Images:
    """An image of each even shade."""
    shades = np.arange(256, dtype=np.uint8)
    return np.broadcast_to(shades[:, None, None], (256, 28, 28)).copy()


def noise(count: int) -> Images:
    """Squares of random shades: fine noise and coarse noise in turn."""
    random = np.random.default_rng(0)
    images = []
    for number in range(count):
        grain = GRAINS[number % len(GRAINS)]
        cells = random.integers(0, 256, (28 // grain, 28 // grain), np.uint8)
        images.append(cells.repeat(grain, axis=0).repeat(grain, axis=1))
    return np.stack(images)


def _typeset(pair: tuple[Path, str], scheme: tuple[tuple[int, int, int], tuple[int, int, int]]) -> Images:
    (font, character), (paper, ink) = pair, scheme
    return _seen(encoded(picture(write(sheet(paper), face(font, character, FACE_SIDE), ink))))


def _seen(file: bytes) -> Images:
    return from_file(file, "picture", MOST_PIXELS)


def _stroke(random: np.random.Generator) -> NDArray[np.float64]:
    """Points of a smooth curve within -1 to 1: float64[200, 2]."""
    along = np.linspace(0, np.pi, 200)[:, None, None]
    waves = np.arange(1, WAVES + 1)[:, None]
    sizes, phases = random.normal(size=(WAVES, 2)), random.uniform(0, 2 * np.pi, (WAVES, 2))
    curve = (sizes * np.sin(along * waves + phases)).sum(axis=1)
    curve += random.normal(0, 0.5, 2)
    points: NDArray[np.float64] = curve / max(1.0, np.abs(curve).max())
    return points
