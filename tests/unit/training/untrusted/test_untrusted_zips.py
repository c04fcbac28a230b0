"""Attacks: a .keras file that is not a plain zip archive of a model is refused before any part of it is unpacked."""

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
from support.training.untrusted_files import (
    keras_file,
    refused,
)

from digits_training.untrusted import limits


def test_a_zip_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(200 * 2**20))
    refused(tmp_path / "bomb.keras", "zip bomb: model.weights.h5 unpacks to 209,715,200 bytes")


def test_a_configuration_that_fills_the_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w") as archive:
        archive.writestr("config.json", " " * (limits.MAX_CONFIG_BYTES + 1))
        archive.writestr("model.weights.h5", b"")
    refused(tmp_path / "bomb.keras", "zip bomb: config.json")


def test_a_zip_that_lies_about_its_sizes(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(2**20))
    lying = content.getvalue().replace(struct.pack("<I", 2**20), struct.pack("<I", 100))
    (tmp_path / "lying.keras").write_bytes(lying)
    refused(tmp_path / "lying.keras", "refused: ")


@pytest.mark.parametrize("member", ["../../escaped", "assets/vocabulary.txt", "model.weights.npz", "evil.py"])
def test_a_zip_with_more_than_a_model_needs(member: str, honest: Path, tmp_path: Path) -> None:
    path = keras_file(honest, tmp_path / "more.keras", lambda _config: None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, pickle.dumps(os.getcwd))
    refused(path, "which no plain model needs")


def test_a_zip_with_two_files_of_one_name(honest: Path, tmp_path: Path) -> None:
    path = keras_file(honest, tmp_path / "twice.keras", lambda _config: None)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("config.json", "{}")
    refused(path, "two files with the same name")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", pickle.dumps({"model": 1})])
@pytest.mark.parametrize("name", ["broken.keras", "broken.h5"])
def test_a_file_that_is_something_else(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, "refused: not a valid")


def test_a_file_larger_than_any_model(tmp_path: Path) -> None:
    with (tmp_path / "large.h5").open("wb") as file:
        file.truncate(limits.MAX_BYTES + 1)
    refused(tmp_path / "large.h5", "is 268,435,457 bytes long; at most 268,435,456 are allowed")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_packed_by_a_method_that_unpacks_without_bounds(method: int, honest: Path, tmp_path: Path) -> None:
    path = tmp_path / "packed.keras"
    with zipfile.ZipFile(honest / "model.keras") as source, zipfile.ZipFile(path, "w", method) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    refused(path, "is compressed with another method than deflate")


def test_a_zip_whose_packed_bytes_are_damaged(honest: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", zipfile.ZipFile(honest / "model.keras").read("config.json"))
        archive.writestr("model.weights.h5", bytes(1000))
    content = path.read_bytes()
    begin = content.index(b"config.json") + len("config.json")
    path.write_bytes(content[:begin] + b"\xff" * 20 + content[begin + 20 :])
    refused(path, "refused: not a valid .keras file")
