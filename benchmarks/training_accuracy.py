"""Trains a network the way anybody would, once per seed: wall time, and accuracy on validation and test set.

The time is that of the whole command: start, training, conversion, proof, report and publishing.

    .venv/bin/python benchmarks/training_accuracy.py --network cnn --seeds 1
    .venv/bin/python benchmarks/training_accuracy.py --network mlp --seeds 10
"""

import argparse
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np

from digits_training import manifest

DIGITS_TRAIN = Path(sysconfig.get_path("scripts")) / "digits-train"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="cnn")
    parser.add_argument("--seeds", type=int, default=1, help="number of runs, with seeds 0, 1, …")
    arguments = parser.parse_args()

    accuracies, recalls = [], []
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as repository:
            options = ["--network", arguments.network, "--seed", str(seed), "--repository", repository]
            started = time.perf_counter()
            subprocess.run([DIGITS_TRAIN, "train", *options], check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - started
            metrics = manifest.read(Path(repository) / "digits/1").metrics
        accuracies.append(metrics.test_accuracy)
        recalls.append([label.recall for label in metrics.labels])
        figures = f"validation {metrics.validation_accuracy:.4f}, test {metrics.test_accuracy:.4f}"
        print(f"{arguments.network} seed {seed}: {seconds:.0f} s, {figures}", flush=True)

    if arguments.seeds > 1:
        spread = np.ptp(np.array(recalls), axis=0)
        print(f"test accuracy from {min(accuracies):.4f} to {max(accuracies):.4f}")
        print("largest difference of a label's recall between two seeds: " + " ".join(f"{gap:.3f}" for gap in spread))


if __name__ == "__main__":
    main()
