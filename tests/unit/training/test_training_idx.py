"""IDX files hold what they claim, or a sentence says what is wrong with them."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.training.data_sets import refused_data

from digits_training import data
from digits_training.data import MNIST, DataSet
from digits_training.errors import DataError

WriteIdx = Callable[[Path, NDArray[np.uint8]], None]


def test_a_flipped_bit_in_a_file_with_a_checksum_is_noticed(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(MNIST, damaged)
    labels = damaged / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(labels.read_bytes())
    content[2000] ^= 1
    labels.write_bytes(content)
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz is damaged: its SHA-256 differs"):
        data.read(damaged)


def test_plain_and_compressed_files_hold_the_same_images(small: DataSet, small_data: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for path in small_data.iterdir():
        (plain / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    assert np.array_equal(data.read(plain).train.images, small.train.images)
    assert np.array_equal(data.read(small_data).test.labels, small.test.labels)


def test_the_files_of_emnist_digits_are_found_by_their_names(small_data: Path, tmp_path: Path, small: DataSet) -> None:
    emnist = tmp_path / "emnist"
    emnist.mkdir()
    for path in small_data.iterdir():
        shutil.copy(path, emnist / ("emnist-digits-" + path.name.replace("t10k", "test")))
    assert np.array_equal(data.read(emnist).test.images, small.test.images)


@pytest.fixture
def folder(small_data: Path, tmp_path: Path) -> Path:
    """A valid data set that a test can damage."""
    return Path(shutil.copytree(small_data, tmp_path / "broken"))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    refused_data(tmp_path / "nowhere", "nowhere does not exist: expected a folder of four IDX files")


def test_a_missing_file_is_refused(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    refused_data(folder, "the IDX file of train labels is missing from ")


def test_two_files_for_one_purpose_are_refused(folder: Path) -> None:
    shutil.copy(folder / "t10k-labels-idx1-ubyte.gz", folder / "test-labels-idx1-ubyte.gz")
    refused_data(folder, "one IDX file of t10k labels; found: t10k-labels-idx1-ubyte.gz, test-labels-idx1-ubyte.gz")


def test_a_wrong_magic_number_is_refused(folder: Path) -> None:
    shutil.copy(folder / "train-labels-idx1-ubyte.gz", folder / "train-images-idx3-ubyte.gz")
    refused_data(folder, "train-images-idx3-ubyte.gz is not an IDX file of this kind: it begins with 00000801")


def test_an_empty_file_is_refused(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"")
    refused_data(folder, "train-images-idx3-ubyte.gz is not an IDX file")


def test_a_truncated_gzip_file_is_refused(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:100_000])
    refused_data(folder, "train-images-idx3-ubyte.gz is truncated")


def test_a_truncated_plain_file_is_refused(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.decompress(path.read_bytes())[:-1])
    refused_data(folder, "train-images-idx3-ubyte.gz is truncated")


def test_a_file_longer_than_its_header_says_is_refused(folder: Path) -> None:
    path = folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"\0"))
    refused_data(folder, "t10k-labels-idx1-ubyte.gz is longer than its header says")


def test_a_file_that_only_looks_like_gzip_is_refused(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    refused_data(folder, "t10k-labels-idx1-ubyte.gz is not a sound gzip file")


def test_a_header_that_claims_billions_of_images_is_refused_before_memory_is_taken(folder: Path) -> None:
    header = bytes([0, 0, 8, 3]) + np.array([2**32 - 1, 28, 28], ">u4").tobytes()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header))
    refused_data(folder, "claims 4,294,967,295 elements; from 1 to 2,000,000 are taken")


def test_images_of_another_size_are_refused(folder: Path, write_idx: WriteIdx) -> None:
    write_idx(folder / "t10k-images-idx3-ubyte.gz", np.zeros((1000, 32, 32), np.uint8))
    refused_data(folder, "t10k-images-idx3-ubyte.gz holds images of 32 × 32 pixels, not 28 × 28")


def test_more_labels_than_images_are_refused(folder: Path, write_idx: WriteIdx) -> None:
    write_idx(folder / "t10k-labels-idx1-ubyte.gz", np.zeros(1001, np.uint8))
    refused_data(folder, "t10k-labels-idx1-ubyte.gz has 1,001 labels for 1,000 images")


def test_a_label_above_nine_is_refused(folder: Path, write_idx: WriteIdx, small: DataSet) -> None:
    labels = small.train.labels.copy()
    labels[7] = 10
    write_idx(folder / "train-labels-idx1-ubyte.gz", labels)
    refused_data(folder, "train-labels-idx1-ubyte.gz has label 10; labels are 0 to 9")
