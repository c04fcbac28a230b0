"""The data set is what it claims to be, or a sentence says what is wrong with it."""

import gzip
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from digits_training import data
from digits_training.data import MNIST, DataSet, LabelledImages
from digits_training.errors import DataError

WriteIdx = Callable[[Path, NDArray[np.uint8]], None]


def test_mnist_ships_with_the_package(mnist: DataSet) -> None:
    assert mnist.train.images.shape == (60_000, 28, 28)
    assert mnist.train.images.dtype == np.uint8
    assert mnist.test.images.shape == (10_000, 28, 28)
    assert mnist.test.label_counts() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert [file.name for file in mnist.files] == [
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]
    assert mnist.files[0].sha256 == "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be"


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
    """A sound data set of one's own to break."""
    return Path(shutil.copytree(small_data, tmp_path / "broken"))


def _refused(folder: Path, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        data.read(folder)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    _refused(tmp_path / "nowhere", "nowhere does not exist: expected a folder of four IDX files")


def test_a_missing_file_is_refused(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    _refused(folder, "the IDX file of train labels is missing from ")


def test_two_files_for_one_purpose_are_refused(folder: Path) -> None:
    shutil.copy(folder / "t10k-labels-idx1-ubyte.gz", folder / "test-labels-idx1-ubyte.gz")
    _refused(folder, "one IDX file of t10k labels; found: t10k-labels-idx1-ubyte.gz, test-labels-idx1-ubyte.gz")


def test_a_wrong_magic_number_is_refused(folder: Path) -> None:
    shutil.copy(folder / "train-labels-idx1-ubyte.gz", folder / "train-images-idx3-ubyte.gz")
    _refused(folder, "train-images-idx3-ubyte.gz is not an IDX file of this kind: it begins with 00000801")


def test_an_empty_file_is_refused(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"")
    _refused(folder, "train-images-idx3-ubyte.gz is not an IDX file")


def test_a_truncated_gzip_file_is_refused(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:100_000])
    _refused(folder, "train-images-idx3-ubyte.gz is truncated")


def test_a_truncated_plain_file_is_refused(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.decompress(path.read_bytes())[:-1])
    _refused(folder, "train-images-idx3-ubyte.gz is truncated")


def test_a_file_longer_than_its_header_says_is_refused(folder: Path) -> None:
    path = folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"\0"))
    _refused(folder, "t10k-labels-idx1-ubyte.gz is longer than its header says")


def test_a_file_that_only_looks_like_gzip_is_refused(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    _refused(folder, "t10k-labels-idx1-ubyte.gz is not a sound gzip file")


def test_a_header_that_claims_billions_of_images_is_refused_before_memory_is_taken(folder: Path) -> None:
    header = bytes([0, 0, 8, 3]) + np.array([2**32 - 1, 28, 28], ">u4").tobytes()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header))
    _refused(folder, "claims 4,294,967,295 elements; from 1 to 2,000,000 are taken")


def test_images_of_another_size_are_refused(folder: Path, write_idx: WriteIdx) -> None:
    write_idx(folder / "t10k-images-idx3-ubyte.gz", np.zeros((1000, 32, 32), np.uint8))
    _refused(folder, "t10k-images-idx3-ubyte.gz holds images of 32 × 32 pixels, not 28 × 28")


def test_more_labels_than_images_are_refused(folder: Path, write_idx: WriteIdx) -> None:
    write_idx(folder / "t10k-labels-idx1-ubyte.gz", np.zeros(1001, np.uint8))
    _refused(folder, "t10k-labels-idx1-ubyte.gz has 1,001 labels for 1,000 images")


def test_a_label_above_nine_is_refused(folder: Path, write_idx: WriteIdx, small: DataSet) -> None:
    labels = small.train.labels.copy()
    labels[7] = 10
    write_idx(folder / "train-labels-idx1-ubyte.gz", labels)
    _refused(folder, "train-labels-idx1-ubyte.gz has label 10; labels are 0 to 9")


def _numbered(count: int) -> LabelledImages:
    """Images that all differ: each holds its own index."""
    images = np.zeros((count, 28, 28), np.uint8)
    images.reshape(count, -1)[:, :4] = np.arange(count, dtype=np.uint32).view(np.uint8).reshape(count, 4)
    return LabelledImages(images, np.zeros(count, np.uint8))


def _indices(part: LabelledImages) -> set[int]:
    return {int(index) for index in part.images.reshape(len(part), -1)[:, :4].copy().view(np.uint32).ravel()}


def test_no_validation_image_is_a_training_image() -> None:
    train, validation = data.split(_numbered(10_000), 0.3, seed=3)
    assert (len(train), len(validation)) == (7_000, 3_000)
    assert _indices(train) | _indices(validation) == set(range(10_000))


def test_the_split_depends_on_the_seed_alone() -> None:
    first, again, other = (_indices(data.split(_numbered(1000), 0.3, seed)[1]) for seed in (5, 5, 6))
    assert first == again != other


def test_a_share_that_holds_out_no_image_is_refused() -> None:
    with pytest.raises(DataError, match=r"10 training images cannot be split with validation share 0\.01"):
        data.split(_numbered(10), 0.01, seed=0)


def test_with_a_share_of_0_every_image_is_a_training_image() -> None:
    train, validation = data.split(_numbered(10), 0.0, seed=0)
    assert (len(train), len(validation)) == (10, 0)


def test_mnist_is_known_by_its_checksums(mnist: DataSet) -> None:
    assert data.is_mnist(mnist.files)
    assert not data.is_mnist(mnist.files[1:])
    assert not data.is_mnist([])


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
    _refused(_npz(tmp_path / "set.npz", **changed), sentence)


def test_an_npz_file_without_the_four_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=np.zeros((20, 28, 28), np.uint8))
    _refused(tmp_path / "set.npz", "the labels that belong to images are missing from set.npz")


def test_a_truncated_npz_file_is_refused(tmp_path: Path) -> None:
    path = _npz(tmp_path / "set.npz")
    path.write_bytes(path.read_bytes()[:300])
    _refused(path, "set.npz is not a sound .npz file")


def test_an_npz_bomb_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", b"")
    content = bytearray((tmp_path / "set.npz").read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (2**32 - 2).to_bytes(4, "little")  # the unpacked size it claims
    (tmp_path / "set.npz").write_bytes(content)
    _refused(tmp_path / "set.npz", "set.npz has an array of more than 1,568,000,000 bytes")


def test_transposing_swaps_rows_and_columns(small: DataSet, small_data: Path) -> None:
    transposed = data.read(small_data, data.Reading(transpose=True))
    assert np.array_equal(transposed.train.images[5], small.train.images[5].T)
    assert np.array_equal(transposed.test.labels, small.test.labels)
