"""One bare Keras file, served as if it were a published version."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from digits.v1.manifest_pb2 import Manifest, ModelFile, ModelInput, Training
from digits_server.errors import ModelRejected, OperatorError
from digits_server.models.change_detection import ContentWatch, content_of, look_at
from digits_server.models.rollout import Rollout
from digits_server.models.source import FoundModel
from digits_server.runtimes.loading import ModelContent
from digits_server.settings import MODEL_NAME
from digits_server.system.regular_files import TooLarge, read_regular

BARE_FILE_VERSION = 1
"""The version number of a bare Keras file."""


class BareFile:
    """A source of one version, made of a `.keras` or `.h5` file, with a manifest of the few known facts.

    scale      factor of the raw 0…255 pixels before the model
    max_bytes  of the file
    rollout    what the flags say
    """

    def __init__(self, path: Path, scale: float, max_bytes: int, rollout: Rollout) -> None:
        """Raises OperatorError if there is no such file."""
        if path.suffix not in (".keras", ".h5"):
            raise OperatorError(f"--model: expected a .keras or .h5 file, got {path.name}")
        if not path.is_file():
            raise OperatorError(f"--model: there is no file {path}")
        self._path = path
        self._scale = scale
        self._max_bytes = max_bytes
        self._rollout = rollout
        self._contents = ContentWatch()

    def versions(self, also: Iterable[int] = ()) -> list[int]:  # noqa: ARG002 - there is one
        return [BARE_FILE_VERSION]

    def fingerprint(self, version: int) -> bytes:
        try:
            return self._contents.digest(version, look_at(self._path), lambda: content_of(self._path))
        except OSError:
            return self._contents.known(version)

    def rollout(self) -> Rollout:
        return self._rollout

    def load(self, version: int) -> FoundModel:
        try:
            content = read_regular(self._path, self._max_bytes)
        except TooLarge as error:
            raise ModelRejected("size", f"{self._path.name}: {error.strerror} (max_model_bytes)") from error
        except OSError as error:
            raise ModelRejected("read", f"{self._path.name} cannot be read: {error.strerror}") from error
        sha256 = hashlib.sha256(content).hexdigest()
        manifest = Manifest(
            schema_version=1,
            model_name=MODEL_NAME,
            model_version=version,
            files=[ModelFile(path=self._path.name, sha256=sha256, size_bytes=len(content))],
            input=ModelInput(dtype="uint8", shape=[28, 28], background=0, ink=255),
            labels=[str(digit) for digit in range(10)],
            training=Training(network="unknown"),
        )
        model = ModelContent(runtime="keras", name=self._path.name, data=content, scale=self._scale)
        return FoundModel(manifest=manifest, content=model, sha256=sha256)

    def read(self, _version: int, file: ModelFile) -> bytes:
        raise ModelRejected("missing", f"{file.path} is not sent: a bare file has no report")
