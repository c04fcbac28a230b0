"""One model that answers, with the queues in front of it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from digits.v1.manifest_pb2 import Manifest
from digits_server.batching.batch_costs import BatchCosts
from digits_server.batching.batch_sizes import DIRECT_SECONDS
from digits_server.batching.batcher import Batcher
from digits_server.batching.call_queue import BATCH_IMAGES
from digits_server.batching.observer import BatchObserver
from digits_server.models.verification import VerifiedModel
from digits_server.runtimes import Images, Probabilities, Runtime
from digits_server.serving.shadow import Predict


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ServedModel:
    """A model that answers: every submission to its batcher is answered by this version."""

    version: int
    manifest: Manifest
    runtime: Runtime
    batcher: Batcher
    scoring: Batcher | None
    """It adds the score of unlike as an eleventh column; None: the version does not give it."""
    direct_images: int
    """The most images of one batch in the thread that receives calls; 0: that thread computes none."""
    sha256: str
    load_seconds: float

    @property
    def waiting(self) -> int:
        """Images in the longer queue."""
        return max(self.batcher.waiting, self.scoring.waiting if self.scoring else 0)

    async def close(self) -> None:
        """Returns when the last batch is done."""
        await self.batcher.close()
        if self.scoring:
            await self.scoring.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Queues:
    """Makes the queues in front of models. Each model has its own, with these bounds in images."""

    observer: BatchObserver
    max_batch_size: int
    max_queue_size: int
    batcher: Callable[..., Batcher] = Batcher

    def before(self, predict: Predict, costs: BatchCosts) -> Batcher:
        """The queue before one model, or one function of it."""
        return self.batcher(
            predict, self.observer, costs, max_batch_size=self.max_batch_size, max_queue_size=self.max_queue_size
        )


def served(model: VerifiedModel, predict: Predict, queues: Queues) -> ServedModel:
    """The model with its queues; `predict` computes its answers."""
    loaded, scoring = model.loaded, None
    if loaded.unlike:
        scoring = queues.before(with_scores(predict, loaded.unlike), model.costs.doubled())
    return ServedModel(
        version=loaded.manifest.model_version,
        manifest=loaded.manifest,
        runtime=loaded.runtime,
        batcher=queues.before(predict, model.costs),
        scoring=scoring,
        direct_images=min(BATCH_IMAGES, model.costs.largest_within(DIRECT_SECONDS)),
        sha256=loaded.sha256,
        load_seconds=model.seconds,
    )


def with_scores(predict: Predict, unlike: Runtime) -> Predict:
    """The probabilities and, as an eleventh column, the distance to the nearest label: float32[N, 11]."""

    def scored(images: Images) -> Probabilities:
        return np.column_stack([predict(images), unlike.predict(images).min(axis=1)])

    return scored
