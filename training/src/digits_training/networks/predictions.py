"""The probabilities that a Keras model gives images."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 500  # images; any number gives the same figures


def predictor(network: Any) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The Keras model as a function, compiled once: uint8[N, 28, 28] → float32[N, 10]. Each core computes batches."""
    import tensorflow as tf

    compiled = tf.function(lambda batch: network(batch, training=False), reduce_retracing=True)

    def of_batch(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = compiled(tf.constant(batch)).numpy()
        return found

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with ThreadPoolExecutor(os.cpu_count()) as cores:
            return np.concatenate(list(cores.map(of_batch, slices(images, BATCH))))

    return predict


def probabilities_of(network: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The probabilities float32[N, 10] that `network` gives uint8[N, 28, 28]. To predict again, use `predictor`."""
    return predictor(network)(images)


def slices(array: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    """The array in slices of `size` rows; the last one may have fewer."""
    for start in range(0, len(array), size):
        yield array[start : start + size]
