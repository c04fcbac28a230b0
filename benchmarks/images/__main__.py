"""Measures how many real-life pictures of digits are recognised; rewrites the figures in docs/images.md.

    .venv/bin/python -m benchmarks.images --mlp models --cnn models-cnn

Either repository's newest version serves. It takes ten minutes of CPU time, on all cores. Without --cnn, or with
--choosing, the page stays as it is.
"""

import argparse
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.images import gallery
from benchmarks.images.ink import as_pixels, pen, retraced
from benchmarks.images.kinds import CHUNK, Kind, all_kinds
from benchmarks.report import replace_figures
from digits_server.errors import ServingError
from digits_server.pictures.images import from_file
from digits_server.runtimes.litert import LiteRTRuntime
from digits_training.data import read

ROOT = Path(__file__).resolve().parents[2]
PAGE, PICTURE = ROOT / "docs" / "images.md", ROOT / "docs" / "images.png"
BEGIN = "<!-- figures: begin (python -m benchmarks.images) -->"

HELD_OUT = slice(6, None, 10)
"""The digits of the test set that are drawn on each kind of page: a thousand, by which nothing was chosen."""

CHOOSING = slice(1, None, 8)
"""Those by which the constants of `pictures/` were chosen."""

FRAME = 280
"""Pixels a side of the digits that are redrawn and reduced to 28."""

MOST_PIXELS = 16_777_216


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlp", type=Path, required=True, help="repository of an mlp")
    parser.add_argument("--cnn", type=Path, help="repository of a cnn")
    parser.add_argument("--choosing", action="store_true", help="draw the digits by which constants were chosen")
    options = parser.parse_args()
    models = {
        name: LiteRTRuntime(_newest(folder))
        for name, folder in (("cnn", options.cnn), ("mlp", options.mlp))
        if folder is not None
    }

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
    rows, seconds, files = [], 0.0, 0
    with ProcessPoolExecutor() as pool:
        for kind in all_kinds(images, labels, pool):
            looks = list(pool.map(_seen, kind.files, chunksize=CHUNK))
            seen = np.stack([image for image, _ in looks])
            seconds += sum(cost for _, cost in looks)
            files += len(kind.files)
            answers = {name: model.predict(seen).argmax(axis=1) for name, model in models.items()}
            lines.append(
                _line(kind.title, len(seen), {name: digits == kind.labels for name, digits in answers.items()})
            )
            rows.append((kind, seen, next(iter(answers.values()))))
            print(lines[-1], flush=True)
    lines += _summary(
        next(iter(models)),
        rows,
        f"{1000 * seconds / files:.0f} ms of CPU time to decode and normalise a picture, on average.",
    )
    if options.cnn is None or options.choosing:
        print("\n".join(lines))
        return 0
    gallery.draw(rows).quantize(64).save(PICTURE, optimize=True)
    replace_figures(PAGE, "\n".join(lines), BEGIN)
    return 0


def _newest(repository: Path) -> bytes:
    versions = sorted((repository / "digits").iterdir(), key=lambda folder: int(folder.name))
    return (versions[-1] / "model.tflite").read_bytes()


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


def _summary(network: str, rows: list[tuple[Kind, NDArray[np.uint8], NDArray[np.int64]]], cost: str) -> list[str]:
    shares = {
        drawn: float(
            np.mean(np.concatenate([answers == kind.labels for kind, _, answers in rows if kind.drawn is drawn]))
        )
        for drawn in (True, False)
    }
    return ["", f"With the {network}: drawn digits {shares[True]:.1%}, typeset ones {shares[False]:.1%}. {cost}"]


if __name__ == "__main__":
    sys.exit(main())
