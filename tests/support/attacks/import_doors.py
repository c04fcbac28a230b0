"""The doors of `digits-train import` for the fuzzer: each makes and imports the file that belongs to a seed."""

import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.models.keras_files import random_h5_file, random_keras_file, random_saved_model
from support.models.warm_loader import WarmLoader

UNLISTED = 77
"""Exit code of a process in which Keras looked up something that is not on the list."""


@functools.cache
def _watch() -> None:
    """From now on, Keras may look up nothing but layers, models and activations; anything else ends this process."""
    from keras.src.legacy.saving import serialization
    from keras.src.saving import serialization_lib

    from digits_training.settings import ACTIVATIONS
    from digits_training.untrusted.layers import LAYERS

    harmless = {*LAYERS, *ACTIVATIONS, "Model", "Functional", "Sequential", "DTypePolicy"}
    harmless |= {"GlorotUniform", "Zeros", "Ones"}  # the initial values of layers that name none
    modern, legacy = (
        serialization_lib._retrieve_class_or_fn,
        serialization.class_and_config_for_serialized_keras_object,
    )

    def look_up(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name not in harmless:
            os._exit(UNLISTED)
        return modern(name, *arguments, **keywords)

    def look_up_old(config: Any, *arguments: Any, **keywords: Any) -> Any:
        if config["class_name"] not in harmless:
            os._exit(UNLISTED)
        return legacy(config, *arguments, **keywords)

    serialization_lib._retrieve_class_or_fn = look_up
    serialization.class_and_config_for_serialized_keras_object = look_up_old


@functools.cache
def _keep_warm() -> None:
    """From now on, one process starts TensorFlow for all files: that takes longer than to read a file."""
    from digits_training.importing import loading

    setattr(loading, "load_in_child", WarmLoader())  # noqa: B010 - for mypy it is another function


def _imported(path: Path) -> str:
    from digits_training.errors import ModelFileError
    from digits_training.importing import loading

    try:
        loading.load(path)
    except ModelFileError:
        return "refused"
    except MemoryError:
        return "failed"
    return "ran"


def keras(model: bytes) -> Callable[[int], str]:
    """The door of `digits-train import` for `.keras` files."""
    path = Path(tempfile.mkdtemp(prefix="fuzz-")) / "model.keras"
    return _files(path, lambda seed: random_keras_file(model, seed))


def h5(model: bytes) -> Callable[[int], str]:
    """The same for legacy `.h5` files; `model` is a `.keras` file, saved anew first."""
    import keras

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (folder / "model.keras").write_bytes(model)
    keras.models.load_model(folder / "model.keras", compile=False).save(folder / "good.h5")
    good = (folder / "good.h5").read_bytes()
    return _files(folder / "model.h5", lambda seed: random_h5_file(good, seed))


def _files(path: Path, make: Callable[[int], bytes]) -> Callable[[int], str]:
    """Imports the file that belongs to a seed, from `path`."""
    _watch()
    _keep_warm()

    def one(seed: int) -> str:
        path.write_bytes(make(seed))
        return _imported(path)

    return one


def saved_models(model: bytes) -> Callable[[int], str]:
    """The door of `digits-train import` for SavedModels; `model` is a `.keras` file, exported first."""
    import keras

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (folder / "model.keras").write_bytes(model)
    keras.models.load_model(folder / "model.keras", compile=False).export(folder / "good", verbose=False)
    _keep_warm()

    def one(seed: int) -> str:
        path = folder / "saved"
        shutil.rmtree(path, ignore_errors=True)
        random_saved_model(folder / "good", path, seed)
        return _imported(path)

    return one


IMPORTS = {"saved_models": saved_models, "h5": h5, "keras": keras}
"""The doors of `digits-train import`. Those come first that load or save a model of ours before the watch begins."""


def imports(model: bytes) -> Callable[[int], str]:
    """These doors in turn, in one process, because TensorFlow takes seconds to start; results begin with the door."""
    doors = [(name, door(model)) for name, door in IMPORTS.items()]

    def one(seed: int) -> str:
        name, door = doors[seed % len(doors)]
        return f"{name} {door(seed // len(doors))}"

    return one
