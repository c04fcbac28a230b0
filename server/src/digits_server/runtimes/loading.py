"""From the bytes of a model file to the runtime that computes it."""

import importlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digits_server.errors import ModelRejected
from digits_server.runtimes import Runtime, batch_sizes


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelContent:
    """A model file in memory.

    runtime  "litert" or "keras"
    name     file name without a folder; its suffix tells Keras the format
    data     the bytes
    scale    factor of the raw 0…255 pixels before the model; Keras only
    """

    runtime: str
    name: str
    data: bytes
    scale: float = 1.0


def prepare(runtime: str) -> None:
    """Imports the library of a runtime: TensorFlow takes seconds. Raises OperatorError if it is not installed."""
    importlib.import_module(f"digits_server.runtimes.{runtime}")


def load(content: ModelContent) -> Runtime:
    """Raises ModelRejected or OperatorError."""
    if content.runtime == "litert":
        from digits_server.runtimes.litert import LiteRTRuntime

        return LiteRTRuntime(content.data, content.name)
    from digits_server.runtimes.keras import KerasRuntime

    # Keras loads from a path only. The bytes go to a private folder, so that Keras loads the verified ones.
    try:
        folder = tempfile.TemporaryDirectory(prefix="digits-")
        copy = Path(folder.name, content.name)
        copy.write_bytes(content.data)
    except OSError as error:
        reason = f"cannot write the temporary copy of {content.name} that Keras needs: {error.strerror}"
        raise ModelRejected("internal", reason) from error
    with folder:
        return KerasRuntime(copy, scale=content.scale)


def run_sizes(runtime: Runtime, largest: int) -> None:
    """Runs each batch size that a server uses, up to `largest` images; with Keras, which traces slowly, only two."""
    sizes = list(batch_sizes(runtime, largest))
    for size in {sizes[0], sizes[-1]} if runtime.name == "keras" else sizes:
        runtime.predict(np.zeros((size, 28, 28), np.uint8))
