"""The versions of the model repository, for either runtime."""

from collections.abc import Iterable

from digits.v1.manifest_pb2 import Manifest, ModelFile
from digits_server.errors import ModelRejected
from digits_server.models.pins import PinFile
from digits_server.models.repository import ModelRepository
from digits_server.models.rollout import Rollout, effective
from digits_server.models.signatures import Signers
from digits_server.models.source import FoundModel
from digits_server.runtimes.loading import ModelContent
from digits_server.settings import MODEL_NAME, Settings

UNLIKE_FILE = "unlike.tflite"
"""The file of a version that computes distances to the training images."""


class PublishedVersions:
    """A source of every version in the repository."""

    def __init__(self, settings: Settings) -> None:
        key = settings.require_signature
        self._repository = ModelRepository(
            settings.repository, MODEL_NAME, max_bytes=settings.max_model_bytes, signers=Signers(key) if key else None
        )
        self._pin = PinFile(settings.repository / MODEL_NAME)
        self._flags = settings.canary, settings.shadow
        self._runtime = settings.runtime
        self._file = "model.keras" if settings.runtime == "keras" else "model.tflite"

    def versions(self, also: Iterable[int] = ()) -> list[int]:
        return self._repository.versions(also)

    def every_version(self) -> list[int]:
        """All versions, however many, ascending. Raises RepositoryError."""
        return sorted(self._repository.every_version())

    def manifest(self, version: int) -> Manifest:
        """The manifest of `version`, whose files are not yet verified. Raises ModelRejected."""
        return self._repository.manifest(version)

    def fingerprint(self, version: int) -> bytes:
        return self._repository.fingerprint(version)

    def rollout(self) -> Rollout:
        return effective(self._pin.read(), *self._flags)

    def load(self, version: int) -> FoundModel:
        verified = self._repository.verify(version, self._file)
        sha256 = next(item.sha256 for item in verified.manifest.files if item.path == self._file)
        content = ModelContent(runtime=self._runtime, name=self._file, data=verified.model)
        return FoundModel(
            manifest=verified.manifest, content=content, sha256=sha256, unlike=self._unlike(verified.manifest)
        )

    def _unlike(self, manifest: Manifest) -> ModelContent | None:
        """The file behind the scores of a verified version. Only LiteRT computes it."""
        if self._runtime != "litert" or not manifest.HasField("unlike"):
            return None
        file = next((item for item in manifest.files if item.path == UNLIKE_FILE), None)
        if file is None:
            raise ModelRejected("manifest", f"the manifest lists no {UNLIKE_FILE}, but says how it was measured")
        data = self._repository.read(manifest.model_version, file)
        return ModelContent(runtime=self._runtime, name=UNLIKE_FILE, data=data)

    def read(self, version: int, file: ModelFile) -> bytes:
        return self._repository.read(version, file)
