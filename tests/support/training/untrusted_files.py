"""Model files of an attacker: an honest file with one thing changed."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from digits_training.errors import ModelFileError
from digits_training.importing import loading

Config = dict[str, Any]


def keras_file(honest: Path, path: Path, change: Callable[[Config], object]) -> Path:
    """The honest .keras file with its configuration changed."""
    with zipfile.ZipFile(honest / "model.keras") as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            target.writestr(name, content)
    return path


def h5_file(honest: Path, path: Path, change: Callable[[Config], object]) -> Path:
    """The honest .h5 file with its configuration changed."""
    path.write_bytes((honest / "model.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)
    return path


Write = Callable[[Callable[[Config], object]], Path]


def refused(path: Path, sentence: str) -> None:
    with pytest.raises(ModelFileError, match=sentence):
        loading.load(path)


def add_layer(config: Config, layer: Config) -> None:
    config["config"]["layers"].append(layer)


def h5_with(honest: Path, path: Path, change: Callable[[Any], object]) -> Path:
    path.write_bytes((honest / "model.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def replace_kernel(file: Any, **dataset: Any) -> None:
    group = file["model_weights/dense"]
    name = next(name for name in names_in(group) if name.endswith("kernel"))
    del group[name]
    group.create_dataset(name, **dataset)


def names_in(group: Any) -> list[str]:
    names: list[str] = []
    group.visit(names.append)
    return names
