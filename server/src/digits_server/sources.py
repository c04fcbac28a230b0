"""From settings to a source of models: the repository with either runtime, or one bare Keras file."""

import hashlib
import tempfile
from pathlib import Path

from digits.v1.manifest_pb2 import Manifest, ModelFile, ModelInput, Training
from digits_server.errors import ModelRejected, OperatorError
from digits_server.registry import LoadedModel, ModelSource
from digits_server.repository import ModelRepository
from digits_server.settings import MODEL_NAME, Settings

BARE_FILE_VERSION = 1
"""The version a bare Keras file answers as."""


def model_source(settings: Settings) -> ModelSource:
    """What the settings say to serve. Raises OperatorError when it cannot be."""
    if settings.model is not None:
        return _bare_file(settings.model, scale=1 / 255 if settings.model_pixels == "unit" else 1.0)
    repository = ModelRepository(settings.repository, MODEL_NAME, max_bytes=settings.max_model_bytes)
    return ModelSource(
        versions=repository.versions,
        load=lambda version: _published(repository, version, keras=settings.runtime == "keras"),
    )


def _published(repository: ModelRepository, version: int, *, keras: bool) -> LoadedModel:
    file = "model.keras" if keras else "model.tflite"
    verified = repository.verify(version, file)
    sha256 = next(item.sha256 for item in verified.manifest.files if item.path == file)
    if not keras:
        from digits_server.runtimes.litert import LiteRTRuntime

        return LoadedModel(manifest=verified.manifest, runtime=LiteRTRuntime(verified.model), sha256=sha256)
    from digits_server.runtimes.keras import KerasRuntime

    # Keras loads from a path only: the verified bytes go where nobody else writes, so that they are what it loads.
    with tempfile.TemporaryDirectory(prefix="digits-") as folder:
        copy = Path(folder, file)
        copy.write_bytes(verified.model)
        return LoadedModel(manifest=verified.manifest, runtime=KerasRuntime(copy), sha256=sha256)


def _bare_file(path: Path, scale: float) -> ModelSource:
    """A source of one version made of a `.keras` or `.h5` file, with a manifest that claims no more than is known."""
    if path.suffix not in (".keras", ".h5"):
        raise OperatorError(f"--model: expected a .keras or .h5 file, got {path.name}")
    if not path.is_file():
        raise OperatorError(f"--model: there is no file {path}")

    def load(version: int) -> LoadedModel:
        from digits_server.runtimes.keras import KerasRuntime

        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelRejected("read", f"{path.name} cannot be read") from error
        sha256 = hashlib.sha256(content).hexdigest()
        manifest = Manifest(
            schema_version=1,
            model_name=MODEL_NAME,
            model_version=version,
            files=[ModelFile(path=path.name, sha256=sha256, size_bytes=len(content))],
            input=ModelInput(dtype="uint8", shape=[28, 28], background=0, ink=255),
            labels=[str(digit) for digit in range(10)],
            training=Training(network="unknown"),
        )
        return LoadedModel(manifest=manifest, runtime=KerasRuntime(path, scale=scale), sha256=sha256)

    return ModelSource(versions=lambda: [BARE_FILE_VERSION], load=load)
