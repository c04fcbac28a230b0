"""One training run with the command that users type: seconds, and accuracy on validation and test set."""

import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common.paths import DIGITS_TRAIN
from digits_training.repository import manifest


def train(network: str, seed: int) -> dict[str, Any]:
    """Wall and CPU seconds of the whole command, and the accuracies and recalls of the published version."""
    with tempfile.TemporaryDirectory() as repository:
        options = ["--network", network, "--seed", str(seed), "--repository", repository]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DIGITS_")}
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([DIGITS_TRAIN, "train", *options], check=True, stdout=subprocess.DEVNULL, env=environment)
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        made = manifest.read(Path(repository) / "digits/1")
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "parameters": made.training.parameters,
        "validation_accuracy": made.metrics.validation_accuracy,
        "test_accuracy": made.metrics.test_accuracy,
        "recalls": [label.recall for label in made.metrics.labels],
    }
