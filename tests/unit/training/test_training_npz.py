"""An .npz file holds what it claims, or a sentence says what is wrong with it."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.training.data_sets import refused_data

from digits_training import data


def _npz(path: Path, **changed: NDArray[np.generic]) -> Path:
    """An .npz file of 20 training and 10 test images, sound but for what is changed."""
    arrays: dict[str, Any] = {
        "x_train": np.zeros((20, 28, 28), np.uint8),
        "y_train": np.arange(20, dtype=np.int64) % 10,
        "x_test": np.zeros((10, 28, 28), np.uint8),
        "y_test": np.arange(10, dtype=np.int64),
    }
    np.savez_compressed(path, **(arrays | changed))
    return path


def test_an_npz_file_is_read(tmp_path: Path) -> None:
    dataset = data.read(_npz(tmp_path / "set.npz"))
    assert (len(dataset.train), len(dataset.test)) == (20, 10)
    assert dataset.test.labels.dtype == np.uint8
    assert [file.name for file in dataset.files] == ["set.npz"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"x_train": np.zeros((20, 32, 32), np.uint8)}, r"x_train of set.npz must be \[N, 28, 28\] or "),
        ({"x_test": np.zeros((10, 28, 28), "U1")}, r"x_test of set.npz must be \[N, 28, 28\] or \[N, 784\], not <U1"),
        ({"x_test": np.zeros((0, 28, 28), np.uint8)}, r"x_test of set.npz must be .*, not uint8\[0, 28, 28\]"),
        ({"y_train": np.full(20, 0.5)}, "y_train of set.npz must be whole numbers from 0 to 9; 0.5 is not"),
        ({"y_train": np.zeros((20, 3), int)}, r"y_train of set.npz must be integers\[N\] or one-hot \[N, 10\], not "),
        ({"y_train": np.zeros(19, np.int64)}, "y_train of set.npz has 19 labels for 20 images"),
        ({"y_test": np.full(10, -1)}, "y_test of set.npz has label -1; labels are 0 to 9"),
        ({"y_test": np.full(10, 256)}, "y_test of set.npz has label 256; labels are 0 to 9"),
        ({"y_test": np.array([{}] * 10, object)}, "set.npz is not a sound .npz file of plain arrays"),
    ],
)
def test_an_npz_file_of_something_else_is_refused(
    changed: dict[str, NDArray[np.generic]], sentence: str, tmp_path: Path
) -> None:
    refused_data(_npz(tmp_path / "set.npz", **changed), sentence)


def test_an_npz_file_without_the_four_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=np.zeros((20, 28, 28), np.uint8))
    refused_data(tmp_path / "set.npz", "the labels that belong to images are missing from set.npz")


def test_a_truncated_npz_file_is_refused(tmp_path: Path) -> None:
    path = _npz(tmp_path / "set.npz")
    path.write_bytes(path.read_bytes()[:300])
    refused_data(path, "set.npz is not a sound .npz file")


def test_an_npz_bomb_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", b"")
    content = bytearray((tmp_path / "set.npz").read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (2**32 - 2).to_bytes(4, "little")  # the unpacked size it claims
    (tmp_path / "set.npz").write_bytes(content)
    refused_data(tmp_path / "set.npz", "set.npz has an array of more than 1,568,000,000 bytes")
