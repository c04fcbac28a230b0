"""Converts Keras models to LiteRT, and proves that both give the same answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_training.data import LABELS, SIDE
from digits_training.errors import ParityError
from digits_training.networks.backend import quiet

PARITY_TOLERANCE = 1e-4  # largest absolute difference of a probability; 3e-6 is usual
_BATCH = 500  # images


def convert(network: Any, path: Path) -> None:
    """Writes `network` as a LiteRT model to `path`, through TensorFlow's own converter."""
    with quiet():  # TensorFlow prints the signature, the converter its warm-up
        network.export(str(path), format="litert", verbose=False)


def litert_probabilities(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32[N, 10] of uint8[N, 28, 28], through the LiteRT model at `path`, on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet():  # it prints its delegate
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    (given,), (returned,) = interpreter.get_input_details(), interpreter.get_output_details()

    def batches() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            interpreter.resize_tensor_input(given["index"], (len(batch), SIDE, SIDE))
            interpreter.allocate_tensors()
            interpreter.set_tensor(given["index"], batch)
            interpreter.invoke()
            yield interpreter.get_tensor(returned["index"])

    return np.concatenate([np.empty((0, LABELS), np.float32), *batches()])


def prove_parity(keras: NDArray[np.float32], converted: NDArray[np.float32], name: str = "model.tflite") -> float:
    """The largest absolute difference between two models' float32[N, 10] probabilities of the same images.

    Raises ParityError if any image gets another answer, or any probability differs by more than PARITY_TOLERANCE.
    """
    differing = int((keras.argmax(axis=1) != converted.argmax(axis=1)).sum())
    largest = float(np.abs(keras - converted).max())
    if differing or not largest <= PARITY_TOLERANCE:  # `not <=`: NaN fails too
        raise ParityError(
            f"{name} differs from the Keras model: other answers on {differing:,} of {len(keras):,} images, "
            f"probabilities differ by up to {largest:.1e} (allowed: {PARITY_TOLERANCE:.0e})"
        )
    return largest
