"""docs/images.png: for each kind of picture one that was recognised, and those that were not, as the model saw them."""

from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.images.kinds import Kind

FONT = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
CELL, PICTURE, SEEN = 74, 64, 56
MOST_MISSES = 7
TITLE_WIDTH = 220
HEIGHT = PICTURE + 12


def draw(rows: list[tuple[Kind, NDArray[np.uint8], NDArray[np.int64]]]) -> Image.Image:
    """Kinds with the images the model saw, uint8[N, 28, 28], and its answers."""
    width = TITLE_WIDTH + (1 + MOST_MISSES) * 2 * CELL + 40
    sheet = Image.new("RGB", (width, HEIGHT * len(rows) + 34), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(FONT, 14)
    draw.text((TITLE_WIDTH, 8), "recognised", "black", font)
    draw.text((TITLE_WIDTH + 2 * CELL + 40, 8), "missed: picture, what the model saw, its answer", "black", font)
    for number, (kind, seen, answers) in enumerate(rows):
        top = 34 + number * HEIGHT
        draw.text((8, top + PICTURE // 2 - 8), kind.title, "black", font)
        wrong = answers != kind.labels
        _pair(sheet, kind.files[int(np.argmin(wrong))], seen[int(np.argmin(wrong))], TITLE_WIDTH, top)
        for place, index in enumerate(np.flatnonzero(wrong)[:MOST_MISSES]):
            left = TITLE_WIDTH + 40 + (place + 1) * 2 * CELL
            _pair(sheet, kind.files[index], seen[index], left, top)
            draw.text((left + CELL + 2, top + SEEN), str(answers[index]), (176, 24, 36), font)
    return sheet


def _pair(sheet: Image.Image, file: bytes, seen: NDArray[np.uint8], left: int, top: int) -> None:
    with Image.open(BytesIO(file)) as opened:
        picture = opened.convert("RGBA")
    picture.thumbnail((PICTURE, PICTURE))
    ground = Image.new("RGBA", picture.size, (128, 128, 128, 255))  # for what is transparent
    sheet.paste(Image.alpha_composite(ground, picture), (left, top))
    sheet.paste(Image.fromarray(255 - seen).resize((SEEN, SEEN), Image.Resampling.NEAREST), (left + CELL, top))
