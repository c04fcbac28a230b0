"""How far the training of the cnn is from what this processor can compute; rewrites its figures in docs/training.md.

Counts the floating-point operations of a step from the shapes of the layers. Times steps, and a product of two large
matrices, in seconds of CPU time, which other work on the machine changes little.

    .venv/bin/python -m benchmarks.training.limit
"""

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common.machine import date_and_load
from benchmarks.common.paths import TRAINING
from benchmarks.common.report import replace_figures
from digits_training import data
from digits_training.fitting.optimizer import build_optimizer
from digits_training.fitting.steps import step_runner
from digits_training.networks import backend
from digits_training.networks.built_in import build_network
from digits_training.settings import Settings

BEGIN = "<!-- figures: begin (python -m benchmarks.training.limit) -->"
IMAGES = 5_120
REPEATS = 5
SIDE = 2_048  # rows and columns of the matrices


def main() -> int:
    settings = Settings.for_network(network="cnn")
    backend.start(settings.seed, settings.network)
    network = build_network(settings)
    training, _ = data.split(data.read(None).train, settings.validation_share, settings.seed)
    optimizer = build_optimizer(settings, math.ceil(len(training) / settings.batch_size))
    optimizer.build(network.trainable_variables)
    run_steps = step_runner(network, optimizer, training, settings)
    indices = np.arange(IMAGES, dtype=np.int32)

    per_image = operations(network)
    of_steps = per_image * IMAGES / cpu_seconds(lambda: run_steps(indices)) / 1e9
    of_products = 2 * SIDE**3 / cpu_seconds(_product()) / 1e9
    of_run = per_image * len(training) * settings.epochs
    machine = date_and_load()
    rows = [
        "| | billion operations a second of CPU time |",
        "|---|---|",
        f"| product of two matrices of {SIDE:,} × {SIDE:,} | {of_products:.0f} |",
        f"| steps of the cnn, augmentation included | {of_steps:.0f}, {of_steps / of_products:.0%} of it |",
    ]
    summary = (
        f"A run is {of_run / 1e12:.1f} trillion operations in convolutions and the dense layer: "
        f"{of_run / of_steps / 1e9:.0f} CPU seconds at the speed of the steps, "
        f"{of_run / of_products / 1e9:.0f} at that of the matrices. "
        f"{machine['date']}, {machine['CPU']}; load average {machine['load']}."
    )
    text = "\n".join([*rows, "", summary])
    replace_figures(TRAINING.page, text, BEGIN)
    return 0


def operations(network: Any) -> int:
    """Multiplications and additions of one image in a step: forwards, and backwards for weights and for features."""
    total, first = 0, True
    for layer in network.layers:
        if not hasattr(layer, "kernel"):
            continue
        places = math.prod(layer.output.shape[1:-1])  # where the kernel is applied
        total += 2 * math.prod(layer.kernel.shape) * places * (2 if first else 3)
        first = False  # nothing in front of the first layer learns
    return total


def cpu_seconds(work: Callable[[], Any]) -> float:
    """Of the fastest of several runs, all threads together."""
    work()
    times = []
    for _ in range(REPEATS):
        begin = time.process_time()
        np.asarray(work()[0])
        times.append(time.process_time() - begin)
    return min(times)


def _product() -> Callable[[], Any]:
    import tensorflow as tf

    left = tf.random.stateless_uniform((SIDE, SIDE), (0, 1))
    right = tf.random.stateless_uniform((SIDE, SIDE), (2, 3))
    return lambda: (tf.matmul(left, right),)


if __name__ == "__main__":
    sys.exit(main())
