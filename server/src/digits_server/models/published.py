"""The versions of the model repository, computed by either runtime."""

import tempfile
from pathlib import Path

from digits.v1.manifest_pb2 import ModelFile
from digits_server.models.change_detection import Fingerprint
from digits_server.models.pins import PinFile
from digits_server.models.repository import ModelRepository, VerifiedVersion
from digits_server.models.signatures import Signers
from digits_server.models.source import LoadedModel
from digits_server.runtimes import Runtime
from digits_server.settings import MODEL_NAME, Settings


class PublishedVersions:
    """A source of every version in the repository."""

    def __init__(self, settings: Settings) -> None:
        key = settings.require_signature
        self._repository = ModelRepository(
            settings.repository, MODEL_NAME, max_bytes=settings.max_model_bytes, signers=Signers(key) if key else None
        )
        self._pin = PinFile(settings.repository / MODEL_NAME)
        self._file, self._build = ("model.keras", _keras) if settings.runtime == "keras" else ("model.tflite", _litert)

    def versions(self) -> list[int]:
        return self._repository.versions()

    def fingerprint(self, version: int) -> Fingerprint:
        return self._repository.fingerprint(version)

    def pinned(self) -> int:
        return self._pin.read()

    def load(self, version: int) -> LoadedModel:
        verified = self._repository.verify(version, self._file)
        sha256 = next(item.sha256 for item in verified.manifest.files if item.path == self._file)
        return LoadedModel(manifest=verified.manifest, runtime=self._build(verified), sha256=sha256)

    def read(self, version: int, file: ModelFile) -> bytes:
        return self._repository.read(version, file)


def _litert(verified: VerifiedVersion) -> Runtime:
    from digits_server.runtimes.litert import LiteRTRuntime

    return LiteRTRuntime(verified.model)


def _keras(verified: VerifiedVersion) -> Runtime:
    from digits_server.runtimes.keras import KerasRuntime

    # Keras loads from a path only: the verified bytes go where nobody else writes, so that they are what it loads.
    with tempfile.TemporaryDirectory(prefix="digits-") as folder:
        copy = Path(folder, "model.keras")
        copy.write_bytes(verified.model)
        return KerasRuntime(copy)
