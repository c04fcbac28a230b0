"""Measures how well scores find images without a digit; rewrites the figures in docs/images.md and docs/unlike.png.

    .venv/bin/python -m benchmarks.unlike --cnn models-cnn --mlp models

The newest version of each repository is measured, both its model.tflite and its model.keras, so the training package
must be installed. It takes a few minutes of CPU time and 4 GB of memory. With one repository, the page stays as it is.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.common.paths import ROOT
from benchmarks.common.report import replace_figures
from benchmarks.common.repository import newest
from benchmarks.unlike import examples, kinds, page
from benchmarks.unlike.figures import threshold_that_refuses
from benchmarks.unlike.network import QUARTERS, SERVED, Network
from digits_server.pictures.images import from_file
from digits_training.data import read

PAGE, PICTURE = ROOT / "docs" / "images.md", ROOT / "docs" / "unlike.png"
SHEET = ROOT / "docs" / "images.png"
BEGIN = "<!-- unlike: begin (python -m benchmarks.unlike) -->"
END = "<!-- unlike: end -->"

NETWORKS = ("cnn", "mlp")

TRAINING_STEP = 3
"""The features of every third training image are measured."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in NETWORKS:
        parser.add_argument(f"--{name}", dest=name, type=Path, help=f"repository of a {name}")
    options = parser.parse_args()
    folders = {name: folder for name in NETWORKS if (folder := getattr(options, name)) is not None}
    if not folders:
        parser.error("name at least one repository: " + ", ".join(f"--{name}" for name in NETWORKS))
    try:
        versions = {name: newest(folder) for name, folder in folders.items()}
        with ProcessPoolExecutor() as pool:
            good, unlike = kinds.all_kinds(pool)
    except FileNotFoundError as error:
        parser.error(str(error))

    train = read(None).train
    train = train.take(np.arange(0, len(train), TRAINING_STEP))
    networks = {name: Network(version, train) for name, version in versions.items()}
    everything, titles = [*good, *unlike], ([kind.title for kind in good], [kind.title for kind in unlike])
    answers = {name: [of.probabilities(kind.images) for kind in everything] for name, of in networks.items()}
    sure = {name: [found.max(axis=1).astype(np.float64) for found in of] for name, of in answers.items()}
    parts = [_examples(networks), page.confidences(everything, sure)]
    tables = {}
    for name, network in networks.items():
        tables[name] = page.by_candidate({kind.title: network.scores(kind.images) for kind in everything})
        parts += [f"With the {name}:", page.separation(tables[name], *titles), page.thresholds(tables[name], *titles)]
        if SERVED in tables[name]:
            parts.append(page.above_1(tables[name][SERVED]))
    text = "\n\n".join(parts)
    print(text)
    if len(networks) < len(NETWORKS):
        return 0
    scores = tables[NETWORKS[0]].get(QUARTERS)
    if scores is None:
        raise SystemExit(f"the page stays as it is: the {NETWORKS[0]} has no maps before its last layer")
    threshold = threshold_that_refuses(scores[good[0].title])
    by_kind = [scores[kind.title] for kind in everything]
    drawn = examples.draw(everything, answers[NETWORKS[0]], by_kind, threshold)
    drawn.quantize(64).save(PICTURE, optimize=True)
    replace_figures(PAGE, text, BEGIN, END)
    return 0


def _examples(networks: dict[str, Network]) -> str:
    """The answers of each network to an image without ink, and to a picture of many digits."""
    images = {
        "An all-black image": np.zeros((28, 28), np.uint8),
        f"The [sheet of pictures]({SHEET.name}) above": from_file(SHEET.read_bytes(), "picture", kinds.MOST_PIXELS),
    }
    sentences = []
    for title, image in images.items():
        answers = []
        for name, network in networks.items():
            (probabilities,) = network.probabilities(image[None])
            answers.append(f"“{probabilities.argmax()}, {probabilities.max():.1%}” from the {name}")
        sentences.append(f"{title} gets {' and '.join(answers)}.")
    return " ".join(sentences)


if __name__ == "__main__":
    sys.exit(main())
