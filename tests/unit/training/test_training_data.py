"""MNIST ships with the package, images are turned as asked, and no image is on two sides of a split."""

from pathlib import Path

import numpy as np
import pytest

from digits_training import data
from digits_training.data import DataSet, LabelledImages
from digits_training.errors import DataError


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


def test_transposing_swaps_rows_and_columns(small: DataSet, small_data: Path) -> None:
    transposed = data.read(small_data, data.Reading(transpose=True))
    assert np.array_equal(transposed.train.images[5], small.train.images[5].T)
    assert np.array_equal(transposed.test.labels, small.test.labels)
