"""Follows the source of models: verified new versions go to the registry, old ones are retired."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from digits_server.errors import ModelRejected, OperatorError, RepositoryError
from digits_server.models.rollout import Rollout
from digits_server.models.source import ModelSource
from digits_server.models.verification import REST_SECONDS, VerifiedModel, verify
from digits_server.sandbox.parent import SANDBOX
from digits_server.serving.registry import ModelRegistry
from digits_server.serving.retries import Retries
from digits_server.system.background_thread import BackgroundThread
from digits_server.system.memory import release_memory

MAX_REASONS = 10
"""How many of the newest rejected versions are named, with their reasons, if there is nothing to serve."""

CLOSE_SECONDS = 5.0
"""When a server with a model stops, how long it waits for the thread to end. The thread may hang on a volume."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """The state of a source at one moment.

    versions      the versions that exist, ascending
    rollout       which version must answer, and which are canary and shadow
    fingerprints  digests of the versions that were tried before
    """

    versions: list[int]
    rollout: Rollout
    fingerprints: dict[int, bytes]


class Lifecycle:
    """Keeps the registry up to date. Lives on the event loop; files and models are handled in one thread beside it.

    poll_interval    seconds between two looks at the source; 0: none after the start
    served_versions  how many of the newest good versions answer requests that name them
    max_batch_size   images of the largest batch with which a model is verified
    """

    def __init__(
        self,
        source: ModelSource,
        registry: ModelRegistry,
        *,
        poll_interval: float,
        served_versions: int,
        max_batch_size: int,
    ) -> None:
        self._source = source
        self._registry = registry
        self._poll_interval = poll_interval
        self._served_versions = served_versions
        self._max_batch_size = max_batch_size
        self._tried: dict[int, bytes] = {}
        """The digest of each version when it was last loaded, successfully or not."""
        self._retries = Retries()
        self._thread = BackgroundThread("lifecycle")
        self._lost = False
        self._notes: list[str] = []

    async def start(self) -> None:
        """Brings the best version live. Raises RepositoryError, with the reasons, if no version is good."""
        look = await self._look()
        await self._choose_current(look)
        if not self._registry.versions:
            rejected = self._registry.rejections
            others = sorted(rejected.keys() - look.rollout.versions, reverse=True)
            reasons = [f"version {version}: {rejected[version]}" for version in others[:MAX_REASONS]]
            reasons = [*look.rollout.notes(look.versions, rejected, 0), *reasons]
            raise RepositoryError(f"no model to serve: {'; '.join(reasons) or 'no version is published'}")

    async def follow(self) -> None:
        """Loads the other versions to serve, then follows the source until cancelled."""
        await self._round()
        while self._poll_interval:
            await asyncio.sleep(self._poll_interval)
            await self._round()

    async def close(self) -> None:
        """Stops trying a model, and waits a short time for the thread: its volume may not answer.

        A server without a model does not wait: importing TensorFlow takes seconds, and it is no longer needed.
        """
        SANDBOX.close()
        await self._thread.close(CLOSE_SECONDS if self._registry.versions else 0.0)

    async def _round(self) -> None:
        """Looks at the source once and acts on changes. No error affects the versions that serve."""
        try:
            look = await self._look()
            await self._choose_current(look)
            await self._choose_named(look)
            await self._choose_shadow(look)
            self._say_what_cannot_be_followed(look)
        except RepositoryError as error:
            if not self._lost:
                log.error("%s; the versions that serve go on", error.message)
            self._lost = True
        except Exception:
            log.exception("looking for new versions failed; the versions that serve go on")
        else:
            self._lost = False

    async def _look(self) -> Look:
        registry = self._registry
        in_use = {*registry.versions, registry.shadow_version}
        rejected, known = registry.states.rejected, set(self._tried)
        have_left, registry.have_left = registry.have_left, False

        def look() -> Look:
            if have_left:
                release_memory()
            rollout = self._source.rollout()
            versions = self._source.versions(also=in_use | rollout.versions)
            watched = (in_use | rollout.versions | rejected) & known
            tried = [version for version in versions if version in watched]
            fingerprints = {version: self._source.fingerprint(version) for version in tried}
            return Look(versions, rollout, fingerprints)

        seen = await self._thread.run(look, what="looking at the model repository")
        self._tried = {version: self._tried[version] for version in seen.fingerprints}
        self._retries.keep(seen.versions)
        self._registry.states.saw(seen.versions)
        self._registry.rollout = seen.rollout
        return seen

    async def _choose_current(self, look: Look) -> None:
        """Makes the pinned version, or else the highest good one, the current version."""
        for version in look.rollout.candidates(look.versions, at_start=not self._registry.versions):
            if await self._has(version, look):
                self._registry.make_current(version)
                return

    async def _choose_named(self, look: Look) -> None:
        """Adds the newest good versions, which requests may name, and the canary."""
        named: set[int] = set()
        for version in reversed(look.versions):
            if len(named) == self._served_versions:
                break
            if self._may_answer(version, look) and await self._has(version, look):
                named.add(version)
        canary = look.rollout.canary.version
        if canary in look.versions and self._may_answer(canary, look) and await self._has(canary, look):
            named.add(canary)
        if named:  # an empty source is more likely a missing volume than intended
            self._registry.keep(named)

    def _may_answer(self, version: int, look: Look) -> bool:
        """A shadow answers no request, unless it is pinned, or answers already because no other version can."""
        return version != look.rollout.shadow or version in (look.rollout.pinned, self._registry.current_version)

    async def _choose_shadow(self, look: Look) -> None:
        """Compares the shadow as long as it exists, is good and does not answer."""
        registry, shadow = self._registry, look.rollout.shadow
        wanted = shadow in look.versions and not self._may_answer(shadow, look)
        if registry.shadow_version and (not wanted or registry.shadow_version != shadow):
            registry.compare(0, None)
        if wanted and self._changed(shadow, look, known=registry.shadow_version == shadow):
            await self._load(shadow, partial(registry.compare, shadow))

    def _say_what_cannot_be_followed(self, look: Look) -> None:
        """Logs each note once, until it no longer applies."""
        registry = self._registry
        notes = look.rollout.notes(look.versions, registry.rejections, registry.current_version)
        for note in notes:
            if note not in self._notes:
                log.warning(note)
        self._notes = notes

    def _changed(self, version: int, look: Look, *, known: bool) -> bool:
        """Whether to try `version`: it is new, its files have changed, or it is time to retry it."""
        if not known and version not in self._registry.states.rejected:
            return True
        if version in self._registry.states.rejected and self._retries.due(version):
            return True
        return version not in look.fingerprints or look.fingerprints[version] != self._tried[version]

    async def _has(self, version: int, look: Look) -> bool:
        """Whether `version` answers. Loads it first, unless its present files were already loaded or rejected."""
        if self._changed(version, look, known=version in self._registry.versions):
            await self._load(version, self._registry.add)
            look.fingerprints[version] = self._tried[version]
        return version in self._registry.versions

    async def _load(self, version: int, deliver: Callable[[VerifiedModel], None]) -> None:
        def fingerprint_and_verify() -> VerifiedModel:
            self._tried[version] = self._source.fingerprint(version)  # first, so that later changes are noticed
            return verify(self._source, version, self._max_batch_size, rest=REST_SECONDS if live else 0.0)

        live = bool(self._registry.versions)
        self._registry.states.loading(version)
        try:
            model = await self._thread.run(fingerprint_and_verify)
        except ModelRejected as rejection:
            self._rejected(version, rejection)
        except OperatorError:  # no version can be loaded here
            raise
        except Exception:
            log.exception("loading model version %d failed", version)
            self._rejected(version, ModelRejected("internal", "the server failed on it; its log says why"))
        else:
            self._retries.settled(version)
            deliver(model)

    def _rejected(self, version: int, rejection: ModelRejected) -> None:
        if rejection.passing:
            self._retries.failed(version)
        else:
            self._retries.settled(version)
        self._registry.states.reject(version, rejection.cause, rejection.message)
