"""Where models come from: the repository, or one bare Keras file."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from digits.v1.manifest_pb2 import Manifest, ModelFile
from digits_server.models.rollout import Rollout, StatedRollout, effective
from digits_server.runtimes import Runtime
from digits_server.runtimes.loading import ModelContent
from digits_server.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundModel:
    """A verified model that has not run yet: its bytes, and its manifest."""

    manifest: Manifest
    content: ModelContent
    sha256: str
    """The digest of those bytes."""
    unlike: ModelContent | None = None
    """The file that gives distances to the training images, if the version has one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedModel:
    """A runtime, with its manifest."""

    manifest: Manifest
    runtime: Runtime
    sha256: str
    """The digest of the loaded model file."""
    unlike: Runtime | None = None
    """It computes ten distances for each image instead of probabilities; None: the version has no scores."""


class ModelSource(Protocol):
    """Versions of one model. Every method does I/O and is called off the event loop, one at a time."""

    def versions(self, also: Iterable[int] = ()) -> list[int]:
        """The newest versions in the source, and those of `also` that exist, ascending.

        Raises RepositoryError if the repository cannot be read.
        """
        ...

    def fingerprint(self, version: int) -> bytes:
        """A digest that changes when the content of `version` changes. An error is not a change; never raises."""
        ...

    def rollout(self) -> Rollout:
        """Which version must answer, and which ones are canary and shadow.

        Raises RepositoryError if it cannot be read.
        """
        ...

    def load(self, version: int) -> FoundModel:
        """Verifies a version and reads its model, or raises ModelRejected."""
        ...

    def read(self, version: int, file: ModelFile) -> bytes:
        """A file of a version by its entry in the verified manifest. Raises ModelRejected if the file has changed."""
        ...


def model_source(settings: Settings) -> ModelSource:
    """The source that the settings name. Raises OperatorError if it cannot be used."""
    if settings.model is None:
        from digits_server.models.published import PublishedVersions

        return PublishedVersions(settings)
    from digits_server.models.bare_file import BareFile

    flags = settings.canary, settings.shadow
    scale = 1 / 255 if settings.model_pixels == "unit" else 1.0
    return BareFile(settings.model, scale, settings.max_model_bytes, effective(StatedRollout(), *flags))
