"""Measures how many real-life pictures of digits are recognised; rewrites the figures in docs/images.md.

    .venv/bin/python -m benchmarks.images --mlp models --cnn models-cnn

Either repository's newest version serves. It takes four minutes of CPU time. Without --cnn, or with other than the
usual digits, the page stays as it is.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.images import gallery
from benchmarks.images.kinds import Kind, all_kinds
from digits_server.errors import ServingError
from digits_server.images import from_file
from digits_server.runtimes.litert import LiteRTRuntime
from digits_training.data import read

ROOT = Path(__file__).resolve().parents[2]
PAGE, PICTURE = ROOT / "docs" / "images.md", ROOT / "docs" / "images.png"
BEGIN, END = "<!-- figures: begin (python -m benchmarks.images) -->", "<!-- figures: end -->"
DIGITS = 500
"""Digits of the test set that are drawn on each kind of page: every twentieth."""
MOST_PIXELS = 16_777_216


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlp", type=Path, required=True, help="repository of an mlp")
    parser.add_argument("--cnn", type=Path, help="repository of a cnn")
    parser.add_argument("--digits", type=int, default=DIGITS, help="digits drawn on each kind of page")
    options = parser.parse_args()
    models = {
        name: LiteRTRuntime(_newest(folder))
        for name, folder in (("cnn", options.cnn), ("mlp", options.mlp))
        if folder is not None
    }

    test = read(None).test
    chosen = np.arange(0, len(test.images), len(test.images) // options.digits)[: options.digits]
    images, labels = test.images[chosen], test.labels[chosen]
    lines = ["| picture | pictures | " + " | ".join(models) + " |", "|---|---|" + "---|" * len(models)]
    right = {name: model.predict(images).argmax(axis=1) == labels for name, model in models.items()}
    lines.append(_line("**the same digits as pixels**", len(images), right))
    rows, seconds, files = [], 0.0, 0
    for kind in all_kinds(images, labels):
        begin = time.process_time()
        seen = np.stack([_seen(file) for file in kind.files])
        seconds += time.process_time() - begin
        files += len(kind.files)
        answers = {name: model.predict(seen).argmax(axis=1) for name, model in models.items()}
        lines.append(_line(kind.title, len(seen), {name: digits == kind.labels for name, digits in answers.items()}))
        rows.append((kind, seen, next(iter(answers.values()))))
        print(lines[-1], flush=True)
    lines += _summary(
        next(iter(models)),
        rows,
        f"{1000 * seconds / files:.0f} ms of CPU time to decode and normalise a picture, on average.",
    )
    if options.cnn is None or options.digits != DIGITS:
        print("\n".join(lines))
        return 0
    gallery.draw(rows).quantize(64).save(PICTURE, optimize=True)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}")
    print(f"wrote {PAGE.name} and {PICTURE.name}")
    return 0


def _newest(repository: Path) -> bytes:
    versions = sorted((repository / "digits").iterdir(), key=lambda folder: int(folder.name))
    return (versions[-1] / "model.tflite").read_bytes()


def _seen(file: bytes) -> NDArray[np.uint8]:
    """What the model sees of a file; nothing at all where the file is refused, which counts as a miss."""
    try:
        return from_file(file, "picture", MOST_PIXELS)
    except ServingError:
        return np.zeros((28, 28), np.uint8)


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
