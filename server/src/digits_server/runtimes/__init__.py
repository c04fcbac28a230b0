"""Runtimes: they compute predictions. A runtime knows pixels and probabilities, but no requests."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""uint8[N, 28, 28], row-major, 0 background to 255 ink."""

Probabilities = NDArray[np.float32]
"""float32[N, 10], each row summing to 1."""


class Runtime(Protocol):
    """A loaded model. Safe to call from several threads at once."""

    name: str
    """"litert" or "keras"."""

    largest_shape: int
    """Images of the largest batch it computes in one piece, a power of two."""

    def predict(self, images: Images) -> Probabilities:
        """The ten probabilities of each image: uint8[N, 28, 28] → float32[N, 10], N at least 1."""
        ...


def padded_size(count: int, largest: int) -> int:
    """The batch size in which `count` images run: the next power of two, at most `largest`.

    A compiled model holds one batch shape; powers of two bound how many shapes are ever compiled, and the padding.
    """
    return min(1 << (count - 1).bit_length(), largest)


def in_pieces(run: Callable[[Images], Probabilities], images: Images, largest: int) -> Probabilities:
    """The probabilities of any number of images by `run`, which takes up to `largest` at once."""
    if len(images) <= largest:
        return run(images)
    return np.concatenate([run(images[start : start + largest]) for start in range(0, len(images), largest)])


def batch_sizes(runtime: Runtime, largest: int) -> Iterator[int]:
    """The batch sizes that `runtime` computes in one piece, up to `largest` images: powers of two."""
    size = 1
    while size <= min(largest, runtime.largest_shape):
        yield size
        size *= 2
