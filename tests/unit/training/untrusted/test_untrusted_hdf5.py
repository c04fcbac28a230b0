"""Attacks: an HDF5 file that links elsewhere, or unpacks to more than it stores, is refused before Keras reads it."""

import io
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.training.untrusted_files import (
    Config,
    h5_with,
    names_in,
    refused,
    replace_kernel,
)

from digits_training.errors import ModelFileError
from digits_training.importing import loading
from digits_training.untrusted import files, hdf5


def test_no_number_of_an_hdf5_header_is_too_large_to_be_refused(honest: Path) -> None:
    content = (honest / "model.h5").read_bytes()
    refused = 0
    for at in range(8, 96):
        for number in (2**63 - 1, 2**63, 2**64 - 2, 2**62):
            changed = bytearray(content)
            changed[at : at + 8] = number.to_bytes(8, "little")
            try:
                hdf5.opened(bytes(changed)).close()
            except ModelFileError as error:
                assert str(error) == "refused: not a valid HDF5 file"
                refused += 1
    assert refused > 100


def test_an_hdf5_shape_bomb(honest: Path, tmp_path: Path) -> None:
    path = h5_with(
        honest, tmp_path / "bomb.h5", lambda file: replace_kernel(file, shape=(2**20, 2**20), dtype="f4", chunks=True)
    )
    assert path.stat().st_size < 100_000
    refused(path, "HDF5 shape bomb: .*kernel declares 4,398,046,511,104 bytes and stores 0")


def test_an_hdf5_compression_bomb(honest: Path, tmp_path: Path) -> None:
    zeros = np.zeros((2000, 2000), np.float32)
    path = h5_with(
        honest, tmp_path / "bomb.h5", lambda file: replace_kernel(file, data=zeros, compression="gzip", chunks=True)
    )
    refused(path, "HDF5 shape bomb: .*kernel declares 16,000,000 bytes")


def test_a_shape_bomb_inside_a_keras_file(honest: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(honest / "model.keras") as source, zipfile.ZipFile(tmp_path / "bomb.keras", "w") as target:
        for name in source.namelist():
            content = io.BytesIO(source.read(name))
            if name == "model.weights.h5":
                with h5py.File(content, "r+") as file:
                    file.create_dataset("vars/bomb", shape=(2**20, 2**20), dtype="f4", chunks=True)
            target.writestr(name, content.getvalue())
    refused(tmp_path / "bomb.keras", "HDF5 shape bomb: /vars/bomb")


@pytest.mark.parametrize("link", [h5py.ExternalLink("/etc/passwd", "/"), h5py.SoftLink("/model_weights")])
def test_an_hdf5_link_to_somewhere_else(link: Any, honest: Path, tmp_path: Path) -> None:
    def change(file: Any) -> None:
        file["model_weights/other"] = link

    refused(h5_with(honest, tmp_path / "link.h5", change), "links to another place or file")


def test_an_hdf5_dataset_stored_in_another_file(honest: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(bytes(784 * 10 * 4))
    path = h5_with(
        honest,
        tmp_path / "external.h5",
        lambda file: replace_kernel(file, shape=(784, 10), dtype="f4", external=[(str(outside), 0, 31360)]),
    )
    refused(path, "is not a plain array")


def test_an_hdf5_group_that_contains_itself(honest: Path, tmp_path: Path) -> None:
    def change(file: Any) -> None:
        file["model_weights/loop"] = file["model_weights"]

    refused(h5_with(honest, tmp_path / "loop.h5", change), "too many objects")


def test_an_h5_file_without_a_configuration(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = np.zeros(3)
    refused(tmp_path / "weights.h5", "has no model configuration, perhaps only weights")


@pytest.mark.parametrize(
    "filters",
    [{"compression": "gzip"}, {"compression": "gzip", "shuffle": True, "fletcher32": True}, {"compression": "lzf"}],
    ids=["gzip", "gzip-shuffle-fletcher32", "lzf"],
)
def test_an_honest_compressed_hdf5_file_is_taken(filters: Config, honest: Path, tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(784, 10)).astype(np.float32)
    path = h5_with(honest, tmp_path / "packed.h5", lambda file: replace_kernel(file, data=kernel, **filters))
    np.testing.assert_array_equal(loading.load(path).get_weights()[0], kernel)


@pytest.mark.parametrize(("code", "filters"), [(4, {"compression": "szip"}), (6, {"scaleoffset": 3})])
def test_an_hdf5_filter_that_is_not_on_the_list(code: int, filters: Config, honest: Path, tmp_path: Path) -> None:
    packed = {"shape": (784, 10), "dtype": "f4", "chunks": (784, 10)} | filters
    path = h5_with(honest, tmp_path / "packed.h5", lambda file: replace_kernel(file, **packed))
    refused(path, rf"stored with the HDF5 filter \[{code}\]; expected gzip or lzf")


def _kernel_in_one_chunk(file: Any, chunk: tuple[int, int], packed: bytes) -> None:
    replace_kernel(file, shape=(784, 10), dtype="f4", chunks=chunk, maxshape=(None, None), compression="gzip")
    group = file["model_weights/dense"]
    name = next(name for name in names_in(group) if name.endswith("kernel"))
    group[name].id.write_direct_chunk((0, 0), packed)


@pytest.mark.parametrize("chunk", [(2**14, 2**12), (784, 10)], ids=["declared", "not declared"])
def test_an_hdf5_chunk_that_unpacks_to_more_than_its_array(
    chunk: tuple[int, int], honest: Path, tmp_path: Path
) -> None:
    packed = zlib.compress(bytes(10 * 2**20))
    path = h5_with(honest, tmp_path / "chunk.h5", lambda file: _kernel_in_one_chunk(file, chunk, packed))
    refused(path, "HDF5 chunk bomb: .*kernel declares 31,360 bytes, and one of its chunks unpacks to more")


def test_hdf5_strings_that_take_too_much_memory(honest: Path, tmp_path: Path) -> None:
    def change(file: Any) -> None:
        names = np.array(["dense" * 10_000] * 400, object)
        file["model_weights"].attrs.create("names", names, dtype=h5py.string_dtype())

    refused(h5_with(honest, tmp_path / "strings.h5", change), "HDF5 string bomb: attributes take 20,")


def test_an_h5_file_with_a_version_that_is_many_strings(honest: Path, tmp_path: Path) -> None:
    def change(file: Any) -> None:
        file.attrs.create("keras_version", np.array(["3.0"] * 1000, object), dtype=h5py.string_dtype())

    refused(h5_with(honest, tmp_path / "versions.h5", change), "keras_version is not one string")


def test_the_training_state_never_reaches_keras(honest: Path, tmp_path: Path) -> None:
    def change(file: Any) -> None:
        file.attrs["training_config"] = json.dumps({"loss": "stranger"})

    content = h5_with(honest, tmp_path / "compiled.h5", change).read_bytes()
    copy = io.BytesIO(files.private_copy(content, ".h5"))
    with h5py.File(copy) as file:
        assert set(file.attrs) & {"model_config", "training_config"} == {"model_config"}


@pytest.mark.timeout(60)
def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.h5")
    refused(tmp_path / "model.h5", "model.h5 is not a regular file")
