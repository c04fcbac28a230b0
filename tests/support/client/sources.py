"""Sources of images that tell what became of them."""

import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from support.pictures.pixels import image


class Source:
    """An endless source of images, and the number that was read."""

    def __init__(self) -> None:
        self.taken = 0
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        try:
            while True:
                self.taken += 1
                yield image(7)
        finally:
            self.closed.set()
