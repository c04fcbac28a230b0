"""Measures how many real-life pictures of digits are recognised; rewrites the figures in docs/images.md.

    .venv/bin/python -m benchmarks.images --cnn models-cnn --cnn-large models-cnn-large --mlp models

The newest version of each repository answers. It takes ten minutes of CPU time, on all cores. Without all three, or
with --choosing, the page stays as it is.
"""

import argparse
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.paths import ROOT
from benchmarks.common.report import replace_figures
from benchmarks.common.repository import newest
from benchmarks.images import gallery
from benchmarks.images.ink import as_pixels, pen, retraced
from benchmarks.images.kinds import CHUNK, Kind, all_kinds
from digits_server.errors import ServingError
from digits_server.pictures.images import from_file
from digits_server.runtimes.litert import LiteRTRuntime
from digits_training.data import read

PAGE, PICTURE = ROOT / "docs" / "images.md", ROOT / "docs" / "images.png"
BEGIN = "<!-- figures: begin (python -m benchmarks.images) -->"

HELD_OUT = slice(6, None, 10)
"""The digits of the test set that are drawn on each kind of page: a thousand, by which nothing was chosen."""

CHOOSING = slice(1, None, 8)
"""Those by which the constants of `pictures/` were chosen."""

FRAME = 280
"""Pixels a side of the digits that are redrawn and reduced to 28."""

MOST_PIXELS = 16_777_216

NETWORKS = ("cnn", "cnn-large", "mlp")
"""The columns. The pictures of the page show what the first one answers."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in NETWORKS:
        parser.add_argument(f"--{name}", dest=name, type=Path, help=f"repository of a {name}")
    parser.add_argument("--choosing", action="store_true", help="draw the digits by which constants were chosen")
    options = parser.parse_args()
    folders = {name: folder for name in NETWORKS if (folder := getattr(options, name)) is not None}
    if not folders:
        parser.error("name the repository of one network at least: " + ", ".join(f"--{name}" for name in NETWORKS))
    models = {name: LiteRTRuntime((newest(folder) / "model.tflite").read_bytes()) for name, folder in folders.items()}

    test = read(None).test
    part = CHOOSING if options.choosing else HELD_OUT
    images, labels = test.images[part], test.labels[part]
    lines = ["| picture | pictures | " + " | ".join(models) + " |", "|---|---|" + "---|" * len(models)]
    with ProcessPoolExecutor() as pool:
        redrawn = _as_pixels(images, pool)
    for title, pixels in redrawn:
        right = {name: model.predict(pixels).argmax(axis=1) == labels for name, model in models.items()}
        lines.append(_line(f"**{title}**", len(images), right))
        print(lines[-1], flush=True)
    rows, kinds, seconds, files = [], [], 0.0, 0
    with ProcessPoolExecutor() as pool:
        for kind in all_kinds(images, labels, pool):
            looks = list(pool.map(_seen, kind.files, chunksize=CHUNK))
            seen = np.stack([image for image, _ in looks])
            seconds += sum(cost for _, cost in looks)
            files += len(kind.files)
            answers = {name: model.predict(seen).argmax(axis=1) for name, model in models.items()}
            right = {name: digits == kind.labels for name, digits in answers.items()}
            kinds.append((kind, right))
            lines.append(_line(kind.title, len(seen), right))
            rows.append((kind, seen, next(iter(answers.values()))))
            print(lines[-1], flush=True)
    summaries = [_summary(name, kinds) for name in models]
    cost = f"{1000 * seconds / files:.0f} ms of CPU time to decode and normalise a picture, on average."
    lines += ["", " ".join([*summaries, cost])]
    if len(models) < len(NETWORKS) or options.choosing:
        print("\n".join(lines))
        return 0
    gallery.draw(rows).quantize(64).save(PICTURE, optimize=True)
    replace_figures(PAGE, "\n".join(lines), BEGIN)
    return 0


def _as_pixels(images: NDArray[np.uint8], pool: Executor) -> list[tuple[str, NDArray[np.uint8]]]:
    """The digits as they are, and redrawn but without a page: what is lost here, no reading of pictures brings back."""
    ways = {
        "redrawn with a pen, as pixels": _penned,
        "redrawn thick, as pixels": _thickened,
        "their middle lines redrawn, as pixels": _retraced,
    }
    redrawn = [(title, np.stack(list(pool.map(way, images, chunksize=CHUNK)))) for title, way in ways.items()]
    return [("the same digits as pixels", images), *redrawn]


def _penned(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return as_pixels(pen(image, FRAME))


def _thickened(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return as_pixels(pen(image, FRAME, 3))


def _retraced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return as_pixels(retraced(image, FRAME))


def _seen(file: bytes) -> tuple[NDArray[np.uint8], float]:
    """What the model sees of a file, and the seconds of CPU time it took.

    Nothing at all is seen where the file is refused, which counts as a miss.
    """
    begin = time.process_time()
    try:
        image = from_file(file, "picture", MOST_PIXELS)
    except ServingError:
        image = np.zeros((28, 28), np.uint8)
    return image, time.process_time() - begin


def _line(title: str, count: int, right: dict[str, NDArray[np.bool_]]) -> str:
    return f"| {title} | {count:,} | " + " | ".join(f"{share.mean():.1%}" for share in right.values()) + " |"


def _summary(network: str, kinds: list[tuple[Kind, dict[str, NDArray[np.bool_]]]]) -> str:
    drawn, typeset = (
        float(np.mean(np.concatenate([right[network] for kind, right in kinds if kind.drawn is drawn])))
        for drawn in (True, False)
    )
    return f"With the {network}: drawn digits {drawn:.1%}, typeset ones {typeset:.1%}."


if __name__ == "__main__":
    sys.exit(main())
