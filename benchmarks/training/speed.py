"""The same optimisation three ways, interleaved, each in a fresh process: how long it takes and how good it gets.

plain    the loop most tutorials write: a tf.data pipeline of single images, cached, shuffled, batched and prefetched
arrays   the whole arrays handed to `fit`
digits   what `digits-train train` does

All train the reference network with SGD on the same 42,000 images in batches of 20 for 10 epochs, reshuffled each
epoch, and evaluate the 18,000 validation images after each. Importing TensorFlow is not counted.

    .venv/bin/python -m benchmarks.training.speed --runs 3
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from digits_training import data
from digits_training.fitting.checkpoint import Checkpoint
from digits_training.fitting.fit import fit
from digits_training.networks import backend
from digits_training.networks.built_in import build_network
from digits_training.networks.predictions import probabilities_of
from digits_training.settings import Settings

WAYS = ("plain", "arrays", "digits")
REFERENCE = Settings()


def measure(way: str, seed: int) -> dict[str, float]:
    """Seconds of training and accuracy on the test set, of one way in this process."""
    dataset = data.read(None)
    train, validation = data.split(dataset.train, REFERENCE.validation_share, seed)
    if way == "digits":
        backend.start(seed)
        network = build_network(REFERENCE)
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            settings = Settings(seed=seed)
            checkpoint = Checkpoint(Path(folder), "run")
            fit(network, train, validation, settings=settings, checkpoint=checkpoint, say=lambda _line: None)
            seconds = time.perf_counter() - started
    else:
        import keras

        keras.utils.set_random_seed(seed)  # all other settings are TensorFlow's defaults, without determinism
        network = build_network(REFERENCE)
        network.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        started = time.perf_counter()
        if way == "plain":
            _fit_plain(network, train, validation)
        else:
            held_out = (validation.images, validation.labels)
            network.fit(train.images, train.labels, batch_size=20, epochs=10, validation_data=held_out, verbose=0)
        seconds = time.perf_counter() - started

    answers = probabilities_of(network, dataset.test.images).argmax(axis=1)
    return {"seconds": seconds, "accuracy": float((answers == dataset.test.labels).mean())}


def _fit_plain(network: Any, train: data.LabelledImages, validation: data.LabelledImages) -> None:
    import tensorflow as tf

    def pipeline(part: data.LabelledImages) -> Any:
        return tf.data.Dataset.from_tensor_slices((part.images, part.labels)).cache()

    batches = pipeline(train).shuffle(len(train)).batch(20).prefetch(tf.data.AUTOTUNE)
    network.fit(batches, epochs=10, validation_data=pipeline(validation).batch(20), verbose=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="runs of each way")
    parser.add_argument("--way", choices=WAYS, help="one way in this process, figures as JSON")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments.seed)))
        return

    figures: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for seed in range(arguments.runs):
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.training.speed", "--way", way, "--seed", str(seed)]
            figures[way].append(json.loads(subprocess.check_output(command, text=True).splitlines()[-1]))
            print(f"run {seed + 1} {way:7} {figures[way][-1]['seconds']:6.1f} s", flush=True)

    median = {way: statistics.median(run["seconds"] for run in runs) for way, runs in figures.items()}
    print(f"\n{'way':8} {'median':>8} {'lowest':>8} {'highest':>8}  {'÷ digits':>8}  accuracy")
    for way, runs in figures.items():
        seconds = [run["seconds"] for run in runs]
        accuracies = " ".join(f"{run['accuracy']:.4f}" for run in runs)
        ratio = median[way] / median["digits"]
        print(f"{way:8} {median[way]:7.1f}s {min(seconds):7.1f}s {max(seconds):7.1f}s  {ratio:7.1f}×  {accuracies}")


if __name__ == "__main__":
    main()
