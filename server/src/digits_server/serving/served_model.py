"""One model that answers, with the queues in front of it."""

from dataclasses import dataclass

import numpy as np

from digits.v1.manifest_pb2 import Manifest
from digits_server.batching.batcher import Batcher
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


def with_scores(predict: Predict, unlike: Runtime) -> Predict:
    """The probabilities and, as an eleventh column, the distance to the nearest label: float32[N, 11]."""

    def scored(images: Images) -> Probabilities:
        return np.column_stack([predict(images), unlike.predict(images).min(axis=1)])

    return scored
