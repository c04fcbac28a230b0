"""Follows the source of models: new versions are brought to the registry once proved, old ones are retired."""

import asyncio
import logging
from dataclasses import dataclass

from digits_server.background import background_thread
from digits_server.errors import ModelRejected, RepositoryError
from digits_server.fingerprints import Fingerprint
from digits_server.proving import ProvenModel, prove
from digits_server.registry import ModelRegistry
from digits_server.sources import ModelSource

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What a source shows at one moment.

    versions      the versions there are, ascending
    fingerprints  of those tried before
    """

    versions: list[int]
    fingerprints: dict[int, Fingerprint]


class Lifecycle:
    """Keeps the registry up to date. Lives on the event loop; files and models are handled in one thread beside it.

    poll_interval    seconds between two looks at the source; 0: none after the start
    served_versions  how many of the newest good versions answer those who name them
    max_batch_size   images of the largest batch to prove a model with
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
        self._tried: dict[int, Fingerprint] = {}
        """The files of each version as they were when it was last loaded, with whatever result."""
        self._thread = background_thread("lifecycle")
        self._lost = False

    async def start(self) -> None:
        """Brings the best version live. Raises RepositoryError, with every reason, when there is none."""
        await self._choose_current(await self._look())
        if not self._registry.versions:
            failed = reversed(self._registry.statuses())
            reasons = "; ".join(f"version {status.version}: {status.reason}" for status in failed)
            raise RepositoryError(f"no model to serve: {reasons or 'no version is published'}")

    async def follow(self) -> None:
        """Loads what else is to be served, then follows the source until cancelled."""
        await self._round()
        while self._poll_interval:
            await asyncio.sleep(self._poll_interval)
            await self._round()

    def close(self) -> None:
        """Ends the thread once it is done with what it is at."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _round(self) -> None:
        """One look, and what follows from it. Whatever goes wrong, what serves goes on."""
        try:
            look = await self._look()
            await self._choose_current(look)
            await self._choose_named(look)
        except RepositoryError as error:
            if not self._lost:
                log.error("%s; what serves goes on", error.message)
            self._lost = True
        except Exception:
            log.exception("looking for new versions failed; what serves goes on")
        else:
            self._lost = False

    async def _look(self) -> Look:
        def look() -> Look:
            versions = self._source.versions()
            tried = [version for version in versions if version in self._tried]
            return Look(versions, {version: self._source.fingerprint(version) for version in tried})

        seen: Look = await asyncio.get_running_loop().run_in_executor(self._thread, look)
        self._tried = {version: self._tried[version] for version in seen.fingerprints}
        self._registry.saw(seen.versions)
        return seen

    async def _choose_current(self, look: Look) -> None:
        """The highest good version answers everyone who names none."""
        for version in reversed(look.versions):
            if await self._has(version, look):
                self._registry.make_current(version)
                return

    async def _choose_named(self, look: Look) -> None:
        """The newest good versions answer those who name them."""
        named: set[int] = set()
        for version in reversed(look.versions):
            if len(named) == self._served_versions:
                break
            if await self._has(version, look):
                named.add(version)
        if named:  # an empty source is more likely a volume that went missing than a wish
            self._registry.keep(named)

    async def _has(self, version: int, look: Look) -> bool:
        """Whether `version` answers, after loading it unless that was done, or failed, with the files it has now."""
        known = version in self._registry.versions or self._registry.is_rejected(version)
        if not known or version not in look.fingerprints or look.fingerprints[version] != self._tried[version]:
            await self._load(version)
            look.fingerprints[version] = self._tried[version]
        return version in self._registry.versions

    async def _load(self, version: int) -> None:
        def fingerprint_and_prove() -> ProvenModel:
            self._tried[version] = self._source.fingerprint(version)  # first: what changes from here on is tried again
            return prove(self._source, version, self._max_batch_size)

        self._registry.loading(version)
        try:
            model = await asyncio.get_running_loop().run_in_executor(self._thread, fingerprint_and_prove)
        except ModelRejected as rejection:
            self._registry.reject(version, rejection.cause, rejection.message)
        except Exception:
            log.exception("loading model version %d failed", version)
            self._registry.reject(version, "internal", "the server failed on it; its log says why")
        else:
            self._registry.add(model)
