"""The warm-up: which sizes it runs, and which costs it calculates."""

import numpy as np
from numpy.typing import NDArray

from digits_server.models.verification import warm_up


class Pieces:
    """A runtime that computes at most four images in one piece, and records its calls."""

    name = "pieces"
    largest_shape = 4

    def __init__(self) -> None:
        self.sizes: set[int] = set()

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.sizes.add(len(images))
        return np.zeros((len(images), 10), np.float32)


def test_every_size_that_is_one_piece_is_run_and_larger_ones_cost_as_much_as_their_pieces() -> None:
    runtime = Pieces()
    costs = warm_up(runtime, 16)
    assert runtime.sizes == {1, 2, 4}
    assert costs.of(16) == 4 * costs.of(4) > 0
