"""The models that answer: which one answers a request, and how one replaces another."""

import asyncio
import logging
from collections.abc import Callable

from digits.v1.prediction_pb2 import ModelVersionStatus
from digits_server.batching.batcher import Batcher
from digits_server.errors import NotFound, Unavailable
from digits_server.models.rollout import Rollout
from digits_server.models.verification import VerifiedModel
from digits_server.observability.metrics import Metrics
from digits_server.serving.canary import Split
from digits_server.serving.served_model import Queues, ServedModel, served
from digits_server.serving.shadow import Shadow
from digits_server.serving.version_states import VersionStates

log = logging.getLogger(__name__)


class ModelRegistry:
    """Gives each request its model. Lives on the event loop, where every change takes effect at once.

    The life cycle adds models, and says which one is current; requests ask for one. A model that is replaced or retired
    answers the requests submitted to it, then its memory is released.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        max_batch_size: int,
        max_queue_size: int,
        batcher: Callable[..., Batcher] = Batcher,
    ) -> None:
        self._metrics = metrics
        self._queues = Queues(
            observer=metrics, max_batch_size=max_batch_size, max_queue_size=max_queue_size, batcher=batcher
        )
        self._served: dict[int, ServedModel] = {}
        self._current: ServedModel | None = None
        """The one of them that answers requests that name no version."""
        self._retiring: dict[ServedModel, asyncio.Task[None]] = {}
        self._rollout = Rollout()
        self._split = Split(0.0)
        self._shadow = Shadow(metrics.shadow)
        self.shadow_version = 0
        """The version that scores copies of live batches; 0: no shadow."""
        self.states = VersionStates(metrics.model_load_failures)
        """What became of each version, whether it answers or not."""
        self.have_left = False
        """Whether models have left since memory was last released."""
        self.draining = asyncio.Event()
        """Set once the server drains."""
        self._others_waiting: Callable[[], int] = lambda: 0
        metrics.watch_queue(self._waiting, max_queue_size)

    def get(self, version: int = 0) -> ServedModel:
        """The model that answers a request for `version`; 0: the current one, or the canary for its share of requests.

        It takes submissions until the event loop runs again; then it may have been retired.
        Raises Unavailable or NotFound.
        """
        if not version and (canary := self.canary_version) and self._split.takes():
            return self._served[canary]
        return self.named(version)

    def named(self, version: int) -> ServedModel:
        """The model of `version`; 0: the current one. For questions about a model: they do not count for the canary.

        Raises Unavailable or NotFound.
        """
        current = self.current
        if not version:
            return current
        if version not in self._served:
            expected = ", ".join(map(str, sorted(self._served, reverse=True)))
            raise NotFound(
                f"model_version: {version} is not served; expected 0 (the current one) or one of: {expected}"
            )
        return self._served[version]

    def check(self, version: int) -> None:
        """Raises Unavailable or NotFound if no model answers for `version`."""
        self.named(version)

    @property
    def current(self) -> ServedModel:
        """The model that answers requests that name no version. Raises Unavailable."""
        if self._current is None:
            raise Unavailable("no model is serving yet")
        return self._current

    def only(self) -> ServedModel | None:
        """The model that answers all requests that name no version, for any thread.

        None while there is a canary or a shadow, or no model.
        """
        return None if self.canary_version or self.shadow_version else self._current

    @property
    def ready(self) -> bool:
        """Whether requests are answered now."""
        return self._current is not None and not self.draining.is_set()

    @property
    def versions(self) -> set[int]:
        """The versions that answer."""
        return set(self._served)

    @property
    def current_version(self) -> int:
        """The version that answers requests that name no version; 0: there is no such version."""
        return self._current.version if self._current else 0

    @property
    def canary_version(self) -> int:
        """The canary's version; 0: there is no canary."""
        version = self._rollout.canary.version
        answers = version in self._served and self._served[version] is not self._current
        return version if answers else 0

    @property
    def canary_share(self) -> float:
        """The canary's share of the requests, from 0 to 1."""
        return self._rollout.canary.share if self.canary_version else 0.0

    @property
    def rejections(self) -> dict[int, str]:
        """The versions that do not answer because their files failed when they were last tried, and why."""
        return self.states.rejections(in_use={*self._served, self.shadow_version})

    def statuses(self) -> list[ModelVersionStatus]:
        """The state of every version seen, in ascending order."""
        return self.states.statuses(serving=self._served)

    @property
    def rollout(self) -> Rollout:
        """Which version must answer, and which ones are tried out."""
        return self._rollout

    @rollout.setter
    def rollout(self, rollout: Rollout) -> None:
        before, self._rollout = self._rollout, rollout
        if rollout.canary.share != before.canary.share:
            self._split = Split(rollout.canary.share)
        if rollout.pinned != before.pinned:
            log.info(
                "model version %d is pinned" if rollout.pinned else "model version %d is no longer pinned",
                rollout.pinned or before.pinned,
            )
        if rollout.canary != before.canary:
            canary = rollout.canary
            log.info(f"model version {canary} is the canary" if canary.version else "there is no canary now")
        self._metrics.model_pinned.set(rollout.pinned)

    def add(self, model: VerifiedModel) -> None:
        """From now on the model answers requests that name its version."""
        runtime = model.loaded.runtime
        # The shadow sees the batches of a model while that model is the current one.
        predict = self._shadow.watch(runtime.predict, lambda: self.current.runtime is runtime)
        added = served(model, predict, self._queues)
        self.states.loaded()
        before = self._served.get(added.version)
        self._served[added.version] = added
        self._metrics.predictions.of(added.version)  # its counters begin at 0, so that the first failure is an increase
        if before is not None:
            if before is self._current:
                self.make_current(added.version)
            self._retire(before)
        log.info(
            "model version %d is loaded",
            added.version,
            extra={"runtime": added.runtime.name, "load_seconds": round(added.load_seconds, 3)},
        )

    def make_current(self, version: int) -> None:
        """Makes a version that was added the current one."""
        model = self._served[version]
        if model is self._current:
            return
        self._current = model
        self._metrics.model_load_seconds.set(model.load_seconds)
        self._metrics.serving(version, model.runtime.name, model.manifest.training.network, model.sha256)
        self._metrics.trained_on(model.manifest.training.label_counts)
        log.info("model version %d serves", version)

    def keep(self, versions: set[int]) -> None:
        """Retires every other version except the current one."""
        for version in self.versions - versions:
            model = self._served[version]
            if model is not self._current:
                del self._served[version]
                self._retire(model)

    def compare(self, version: int, model: VerifiedModel | None) -> None:
        """From now on `model` scores copies of the current version's batches; None: there is no shadow."""
        self.states.loaded()
        self.shadow_version = version
        self._shadow.follow(model.loaded.runtime if model else None)
        log.info("model version %d is the shadow" if version else "there is no shadow now", *[version] * bool(version))

    def drain(self) -> None:
        """From now on the server is not ready, so that callers go elsewhere.

        Requests that still arrive are answered.
        """
        self.draining.set()

    async def close(self) -> None:
        """Returns when the last batch is done."""
        self.drain()
        self._shadow.close()
        await asyncio.gather(*(model.close() for model in self._served.values()), *self._retiring.values())

    def also_waiting(self, images: Callable[[], int]) -> None:
        """`images` returns the images that wait for the current model in a queue outside the registry."""
        self._others_waiting = images

    def _waiting(self) -> int:
        """Images in the longest queue: every model has its own queue, and rejects requests when it is full."""
        models = (*self._served.values(), *self._retiring)
        return max(self._others_waiting(), *(model.waiting for model in models), 0)

    def _retire(self, model: ServedModel) -> None:
        self._retiring[model] = asyncio.create_task(self._retired(model))

    async def _retired(self, model: ServedModel) -> None:
        await model.close()
        del self._retiring[model]
        self.have_left = True
        self._metrics.predictions.keep(self.versions)
        log.info("model version %d has left", model.version)
