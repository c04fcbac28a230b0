"""A model for tests of the batcher, images that it tells apart, and what the batcher says of its work."""

import asyncio
import threading

import numpy as np
from numpy.typing import NDArray

from digits_server.batching.batch_costs import BatchCosts
from digits_server.batching.batcher import Batcher

Images = NDArray[np.uint8]
Probabilities = NDArray[np.float32]


def marked(*marks: int) -> Images:
    """Images that can be distinguished: each is filled with its mark."""
    return np.repeat(np.array(marks, np.uint8), 784).reshape(-1, 28, 28)


def echo(images: Images) -> Probabilities:
    """Ten times the mark of each image."""
    return np.repeat(images[:, :1, 0].astype(np.float32), 10, axis=1)


def marks(probabilities: Probabilities) -> list[int]:
    return [int(row[0]) for row in probabilities]


def costs(inline_size: int = 0) -> BatchCosts:
    """The costs of a model: larger batches always save time, and those up to `inline_size` run on the event loop."""
    return BatchCosts({2**power: 0.0001 if 2**power <= inline_size else 0.001 for power in range(11)})


class Observer:
    """Records the events of the batcher."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.waits: list[float] = []

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)

    def ran(self, images: int, seconds: float) -> None:
        assert seconds >= 0
        self.batches.append(images)


class Gate:
    """A model that answers when it is opened, and counts the images it has seen."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.seen: list[int] = []

    def __call__(self, images: Images) -> Probabilities:
        self.entered.set()
        assert self.opened.wait(30)
        self.seen += [int(image[0, 0]) for image in images]
        return echo(images)


async def entered(gate: Gate) -> None:
    """Returns once the model is busy with a batch."""
    assert await asyncio.to_thread(gate.entered.wait, 30)


def waiting_tasks(
    batcher: Batcher, *submissions: Images, deadline: float | None = None
) -> list[asyncio.Task[Probabilities]]:
    return [asyncio.create_task(batcher.submit(images, deadline)) for images in submissions]
