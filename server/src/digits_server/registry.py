"""The live model: chosen, loaded, warmed up and proved before it answers, and the state of every other version."""

import asyncio
import logging
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from digits.v1.manifest_pb2 import Manifest
from digits.v1.prediction_pb2 import ModelVersionStatus
from digits_server.batching import Batcher
from digits_server.costs import BatchCosts
from digits_server.errors import ModelRejected, NotFound, RepositoryError, Unavailable
from digits_server.metrics import Metrics
from digits_server.runtimes import Runtime

log = logging.getLogger(__name__)

WARM_UP_RUNS = 5
"""Timed runs of each batch size after the first one, which allocates; the median counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedModel:
    """What a source yields: a runtime with the manifest that vouches for it."""

    manifest: Manifest
    runtime: Runtime
    sha256: str
    """Of the model file loaded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveModel:
    """A model that answers: every submission to its batcher is answered by this version."""

    manifest: Manifest
    runtime: Runtime
    batcher: Batcher

    @property
    def version(self) -> int:
        return self.manifest.model_version


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSource:
    """Where models come from.

    `versions` lists them, ascending; `load` verifies and loads one, or raises ModelRejected.
    """

    versions: Callable[[], list[int]]
    load: Callable[[int], LoadedModel]


class ModelRegistry:
    """Loads the highest version that proves itself and hands it to whoever asks. Lives on the event loop."""

    def __init__(self, source: ModelSource, metrics: Metrics, *, max_batch_size: int, max_queue_size: int) -> None:
        self._source = source
        self._metrics = metrics
        self._max_batch_size = max_batch_size
        self._max_queue_size = max_queue_size
        self._live: LiveModel | None = None
        self._statuses: dict[int, ModelVersionStatus] = {}
        self.draining = asyncio.Event()
        """Set once the server drains."""
        metrics.watch_queue(lambda: self._live.batcher.waiting if self._live else 0, max_queue_size)

    @property
    def ready(self) -> bool:
        """Whether a request would be answered now."""
        return self._live is not None and not self.draining.is_set()

    def statuses(self) -> list[ModelVersionStatus]:
        """The state of every version seen, in ascending order."""
        return [self._statuses[version] for version in sorted(self._statuses)]

    def get(self, version: int = 0) -> LiveModel:
        """The model that answers for `version`; 0 is the current one. Raises Unavailable or NotFound."""
        if self._live is None:
            raise Unavailable("no model is serving yet")
        if version not in (0, self._live.version):
            raise NotFound(
                f"model_version: {version} is not served; expected 0 (the current one) or {self._live.version}"
            )
        return self._live

    async def load(self) -> None:
        """Brings the highest good version live. Raises RepositoryError, with every reason, when there is none."""
        versions = await asyncio.to_thread(self._source.versions)
        for version in versions:
            self._set(version, ModelVersionStatus.AVAILABLE)
        for version in reversed(versions):
            self._set(version, ModelVersionStatus.LOADING)
            try:
                await self._bring_live(version)
            except ModelRejected as rejection:
                self._set(version, ModelVersionStatus.REJECTED, rejection.message)
                self._metrics.model_load_failures.labels(rejection.cause).inc()
                log.error("model version %d rejected: %s", version, rejection.message)
                continue
            self._set(version, ModelVersionStatus.SERVING)
            return
        reasons = "; ".join(f"version {status.version}: {status.reason}" for status in reversed(self.statuses()))
        raise RepositoryError(f"no model to serve: {reasons or 'no version is published'}")

    def drain(self) -> None:
        """Not ready from now on: callers should go elsewhere. Who comes all the same is answered."""
        self.draining.set()

    async def close(self) -> None:
        """Returns when the last batch is done."""
        self.drain()
        if self._live:
            await self._live.batcher.close()

    async def _bring_live(self, version: int) -> None:
        begin = perf_counter()
        loaded, costs = await asyncio.to_thread(self._load_and_prove, version)
        seconds = perf_counter() - begin
        self._live = LiveModel(
            manifest=loaded.manifest,
            runtime=loaded.runtime,
            batcher=Batcher(
                loaded.runtime.predict,
                self._metrics,
                costs,
                max_batch_size=self._max_batch_size,
                max_queue_size=self._max_queue_size,
            ),
        )
        self._metrics.model_load_seconds.set(seconds)
        self._metrics.serving(
            loaded.manifest.model_version, loaded.runtime.name, loaded.manifest.training.network, loaded.sha256
        )
        self._metrics.trained_on(loaded.manifest.training.label_counts)
        log.info(
            "model version %d serves",
            version,
            extra={"runtime": loaded.runtime.name, "load_seconds": round(seconds, 3)},
        )

    def _load_and_prove(self, version: int) -> tuple[LoadedModel, BatchCosts]:
        loaded = self._source.load(version)
        check_golden_images(loaded.runtime, loaded.manifest)
        return loaded, warm_up(loaded.runtime, self._max_batch_size)

    def _set(self, version: int, state: "ModelVersionStatus.State.ValueType", reason: str = "") -> None:
        self._statuses[version] = ModelVersionStatus(version=version, state=state, reason=reason)


def check_golden_images(runtime: Runtime, manifest: Manifest) -> None:
    """Replays the manifest's golden images; ModelRejected when a score is off by more than its tolerance."""
    if not manifest.golden_images:
        return
    images = np.frombuffer(b"".join(item.image for item in manifest.golden_images), np.uint8).reshape(-1, 28, 28)
    expected = np.array([item.probabilities for item in manifest.golden_images], np.float32)
    difference = np.abs(runtime.predict(images) - expected)
    failed = ~(difference <= manifest.golden_tolerance)  # asked this way round, scores that are no numbers fail too
    if failed.any():
        raise ModelRejected(
            "golden",
            f"{int(failed.any(axis=1).sum())} of {len(images)} golden images score otherwise than published, "
            f"by up to {difference.max():.3g}; allowed {manifest.golden_tolerance:.3g}",
        )


def warm_up(runtime: Runtime, largest: int) -> BatchCosts:
    """Runs every batch size up to `largest`, in powers of two, once cold, then a few times to see what it costs."""
    costs: dict[int, float] = {}
    size = 1
    while size <= largest:
        images = np.zeros((size, 28, 28), np.uint8)
        runtime.predict(images)
        costs[size] = statistics.median(_seconds(runtime, images) for _ in range(WARM_UP_RUNS))
        size *= 2
    return BatchCosts(costs)


def _seconds(runtime: Runtime, images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    begin = perf_counter()
    runtime.predict(images)
    return perf_counter() - begin
