"""Writes a published version as an ONNX file, and proves that it gives the same answers.

Needs the extra `onnx`. Keras writes the file, through tf2onnx.
"""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_training import data
from digits_training.conversion import litert
from digits_training.errors import SettingsError
from digits_training.importing import loading
from digits_training.networks import backend
from digits_training.networks.predictions import probabilities_of
from digits_training.repository import recorded
from digits_training.settings import Settings

BATCH = 500  # images


def export_version(version: int, output: Path, settings: Settings, say: Callable[[str], None]) -> None:
    """Writes model.keras of `version` as ONNX to `output`, complete or not at all.

    The file takes uint8[N, 28, 28] and gives float32[N, 10]. It must give the Keras model's answer for every test
    image, and every probability within `litert.PARITY_TOLERANCE`. Raises TrainingError or OSError.
    """
    _require_packages()
    folder = settings.model_folder / str(version)
    manifest = recorded.verified_manifest(version, settings)
    test = data.read(settings.data, recorded.recorded_reading(manifest)).test
    backend.start(seed=0, network=manifest.training.network)
    network = loading.load(folder / "model.keras")
    expected = probabilities_of(network, test.images)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=output.parent) as incoming:
        written = Path(incoming) / "model.onnx"
        convert(network, written)
        difference = litert.prove_parity(expected, onnx_probabilities(written, test.images), written.name)
        written.replace(output)
    say(
        f"wrote {output}: takes uint8[N, 28, 28], gives float32[N, 10]; same answers as model.keras on "
        f"{len(test):,} test images, probabilities within {difference:.1e}"
    )


def convert(network: Any, path: Path) -> None:
    """Writes `network`, which has been called before, as an ONNX file to `path`."""
    with backend.quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras uses names that NumPy is about to redefine
        network.export(str(path), format="onnx", verbose=False)


def onnx_probabilities(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32[N, 10] of uint8[N, 28, 28], through the ONNX file at `path`, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    starts = range(0, len(images), BATCH)
    return np.concatenate([session.run(None, {name: images[start : start + BATCH]})[0] for start in starts])


def _require_packages() -> None:
    try:
        import onnxruntime  # noqa: F401 - only to check that it is installed
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "export to ONNX needs more packages: install digits-training with its extra 'onnx'"
        ) from error
