"""Batchers in front of a model that the test holds in its hand."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from support.models.batches import Gate, Images, Observer, Probabilities, costs, echo

from digits_server.batching.batcher import Batcher


@pytest.fixture
def observer() -> Observer:
    return Observer()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def make(observer: Observer, gate: Gate) -> AsyncIterator[Callable[..., Batcher]]:
    """Makes batchers and ends them."""
    made: list[Batcher] = []

    def batcher(predict: Callable[[Images], Probabilities] = echo, inline_size: int = 0, **bounds: int) -> Batcher:
        bounds = {"max_batch_size": 8, "max_queue_size": 200, **bounds}
        made.append(Batcher(predict, observer, costs(inline_size), **bounds))
        return made[-1]

    yield batcher
    gate.opened.set()
    for each in made:
        await asyncio.wait_for(each.close(), 30)
