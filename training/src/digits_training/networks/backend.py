"""TensorFlow as this job uses it: without output, and deterministic.

Importing it takes seconds, so nothing in this file imports it before `start` is called.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from digits_training.errors import TrainingError
from digits_training.settings.networks import CONVOLUTIONAL, own, parts_of_a_batch


def start(seed: int, network: str = "mlp") -> None:
    """Imports TensorFlow and Keras, seeds every generator they use, and makes their kernels deterministic.

    Raises TrainingError if TensorFlow is not installed: `make run` installs it only while it trains.
    """
    parts = parts_of_a_batch(network)
    # oneDNN makes convolutions a third faster, and matrix products of a few rows slower.
    one_dnn = network in CONVOLUTIONAL or own(network) is not None
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # else its C++ code prints CPU features and missing GPUs
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", str(int(one_dnn)))
    # Parts of a batch run in parallel; within a part, each operation waits for the one before.
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(parts))
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, (os.cpu_count() or 1) // parts)))
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # results are defined on CPUs; a GPU gives other bits
    try:
        with quiet():
            import keras
            import tensorflow as tf
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"this needs TensorFlow, but {error.name} is not installed here: `make install` installs it into .venv"
        ) from error

    sys.dont_write_bytecode = True  # else bytecode of modules that TensorFlow writes to TMPDIR would stay there
    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)


@contextmanager
def quiet() -> Iterator[None]:
    """Drops what libraries, also in C++, write to stdout and stderr within the block; failures still raise."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    try:
        with Path(os.devnull).open("w") as nowhere:
            for number in kept:
                os.dup2(nowhere.fileno(), number)
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, original in kept.items():
            os.dup2(original, number)
            os.close(original)
