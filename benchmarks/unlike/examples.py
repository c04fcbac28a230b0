"""docs/unlike.png: images of each kind with the network's answer, and which of them a score refuses."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.unlike.figures import Scores
from benchmarks.unlike.kinds import Kind

FONT = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
COLUMNS = 12
SEEN, WIDTH, HEIGHT, TITLE = 56, 84, 88, 100
REFUSED = (176, 24, 36)


def draw(kinds: list[Kind], answers: list[NDArray[np.float32]], scores: list[Scores], threshold: float) -> Image.Image:
    """A row for each kind, from its `answers`, float32[N, 10], and `scores`, float64[N].

    Images whose score reaches the threshold have a red frame.
    """
    sheet = Image.new("RGB", (TITLE + COLUMNS * WIDTH, HEIGHT * len(kinds) + 8), "white")
    pencil = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(FONT, 13)
    for row, (kind, probabilities, of) in enumerate(zip(kinds, answers, scores, strict=True)):
        top = 8 + row * HEIGHT
        pencil.text((8, top + SEEN // 2 - 8), kind.title, "black", font)
        for column, index in enumerate(spread(len(kind.images))):
            left = TITLE + column * WIDTH
            image = Image.fromarray(255 - kind.images[index]).resize((SEEN, SEEN), Image.Resampling.NEAREST)
            sheet.paste(image, (left, top))
            refused = of[index] >= threshold
            frame, width = (REFUSED, 3) if refused else ((200, 200, 200), 1)
            pencil.rectangle((left - 3, top - 3, left + SEEN + 2, top + SEEN + 2), outline=frame, width=width)
            answer = f"{probabilities[index].argmax()}, {probabilities[index].max():.0%}"
            pencil.text((left, top + SEEN + 4), answer, REFUSED if refused else "black", font)
    return sheet


def spread(count: int) -> list[int]:
    """Places evenly spread over `count` images, the first and the last among them."""
    return [int(place) for place in np.linspace(0, count - 1, COLUMNS).round()]
