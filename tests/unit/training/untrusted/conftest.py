"""The honest model whose files the attacks change. Tests only read it."""

from pathlib import Path

import pytest
from support.shared import made_once
from support.training.untrusted_files import Write, h5_file, keras_file

from digits_training.networks import backend


@pytest.fixture(autouse=True)
def _tensorflow() -> None:
    backend.start(seed=0)


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.keras and model.h5 of a small honest model, and saved_model of the same."""
    return made_once(tmp_path_factory, "honest-model", _write_honest)


def _write_honest(folder: Path) -> None:
    backend.start(seed=0)
    import keras

    model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10, activation="softmax", name="dense")])
    with backend.quiet():
        model.save(folder / "model.keras")
        model.save(folder / "model.h5")
        model.export(folder / "saved_model", verbose=False)


@pytest.fixture(params=["keras", "h5"])
def write(request: pytest.FixtureRequest, honest: Path, tmp_path: Path) -> Write:
    """Writes the honest model with its configuration changed, in either format."""
    writer = {"keras": keras_file, "h5": h5_file}[request.param]
    return lambda change: writer(honest, tmp_path / f"evil.{request.param}", change)
