"""The metrics of several models' queues show how close a queue is to its limit."""

import asyncio
import threading

import numpy as np
from numpy.typing import NDArray

from digits.v1.manifest_pb2 import Manifest
from digits_server.batching.batch_costs import BatchCosts
from digits_server.models.source import LoadedModel
from digits_server.models.verification import VerifiedModel
from digits_server.observability.metrics import Metrics
from digits_server.serving.registry import ModelRegistry

LIMIT = 100
SLOW = BatchCosts({1: 1.0, 2: 1.0})
"""The costs of a model that never runs on the event loop."""


class Gate:
    """A runtime that answers once it is opened."""

    name = "gate"
    largest_shape = 2

    def __init__(self) -> None:
        self.opened = threading.Event()

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert self.opened.wait(20)
        return np.zeros((len(images), 10), np.float32)


def test_the_gauge_is_the_longest_queue_and_the_limit_that_of_one() -> None:
    metrics, gate = Metrics(), Gate()

    def told(name: str) -> float | None:
        return metrics.registry.get_sample_value(name)

    async def measured() -> None:
        models = ModelRegistry(metrics, max_batch_size=2, max_queue_size=LIMIT)
        for version in (1, 2):
            loaded = LoadedModel(manifest=Manifest(model_version=version), runtime=gate, sha256="")
            models.add(VerifiedModel(loaded=loaded, costs=SLOW, seconds=0.0))
        models.make_current(2)
        assert told("digits_queue_images") == 0
        submissions = []
        for version, images in ((1, 2), (2, 2), (1, 40), (2, 30)):  # the first two are in the model, the others wait
            submit = models.get(version).batcher.submit(np.zeros((images, 28, 28), np.uint8))
            submissions.append(asyncio.create_task(submit))
            for _ in range(3):
                await asyncio.sleep(0)
        assert [models.get(version).batcher.waiting for version in (1, 2)] == [40, 30]
        assert told("digits_queue_images") == 40
        gate.opened.set()
        await asyncio.gather(*submissions)
        assert told("digits_queue_images") == 0
        await models.close()

    asyncio.run(measured())
    assert told("digits_queue_limit_images") == LIMIT
