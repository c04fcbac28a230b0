"""Data sets of 28 × 28 images with labels 0 to 9: read, transposed or inverted if asked, split by index."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digits.v1.manifest_pb2 import DataFile
from digits_training.data import arrays
from digits_training.data.formats import folders, idx
from digits_training.data.labelled import LabelledImages
from digits_training.data.limits import DEFAULT_TEST_SHARE
from digits_training.errors import DataError
from digits_training.settings import Settings

MNIST = Path(__file__).parents[1] / "mnist"
_DIGITS = tuple("0123456789")
_TEST_SPLIT = 1  # makes this split differ from that for validation, which has the same seed


@dataclass(frozen=True)
class DataSet:
    """Training and test images, and the files they were read from, in the order of their names.

    `test_share` is the share of the images that was held out as test images; 0 if the data have their own test
    images. `notes` are sentences about files that were not used.
    """

    train: LabelledImages
    test: LabelledImages
    files: tuple[DataFile, ...]
    test_share: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How data are read: what decides, in addition to the files, about pixels and images."""

    transpose: bool = False  # swap rows and columns of every image
    invert: bool = False  # swap paper and ink
    test_share: float | None = None  # of all images, if the data have no test images; None: DEFAULT_TEST_SHARE
    seed: int = 0  # decides which images are held out as test images
    labels: tuple[str, ...] = _DIGITS  # the names of the labels; folders of pictures may have these names


def reading_of(settings: Settings) -> Reading:
    """How a run with these settings reads its data."""
    return Reading(
        transpose=settings.transpose,
        invert=settings.invert,
        test_share=settings.test_share,
        seed=settings.seed,
        labels=settings.labels,
    )


def read(path: Path | None, reading: Reading = Reading()) -> DataSet:
    """The data set at `path`, in any of the formats of `formats`, or MNIST as it ships with the package.

    If it has no test images, a share of its images is held out as test images. Raises DataError.
    """
    train, test, files, notes = _read(path, reading)
    if test is not None:
        if reading.test_share is not None:
            raise DataError(
                "--test-share is for data without test images, but these data have test images: leave it out"
            )
        return DataSet(train, test, files, notes=notes)
    share = DEFAULT_TEST_SHARE if reading.test_share is None else reading.test_share
    order = np.random.default_rng([reading.seed, len(train), _TEST_SPLIT]).permutation(len(train))
    boundary = len(train) - round(share * len(train))
    if not 0 < boundary < len(train):
        raise DataError(f"{len(train)} images cannot be split with test share {share:g}: give more images")
    kept, held_out = np.sort(order[:boundary]), np.sort(order[boundary:])
    return DataSet(train.take(kept), train.take(held_out), files, share, notes)


def read_unseen(path: Path | None, reading: Reading = Reading()) -> tuple[LabelledImages, tuple[DataFile, ...]]:
    """Images to evaluate a finished model on: the test images of the data, or all images if there are none."""
    train, test, files, _ = _read(path, reading)
    return (train if test is None else test), files


def files_at(path: Path | None, labels: tuple[str, ...] = _DIGITS) -> tuple[DataFile, ...]:
    """The files of the data at `path`, as a manifest lists them. Raises DataError."""
    return folders.read(path or MNIST, labels).files


def is_mnist(files: Iterable[DataFile]) -> bool:
    """Whether these are the files of MNIST as it ships with the package."""
    return {file.name: file.sha256 for file in files} == idx.checksums(MNIST)


def split(labelled: LabelledImages, validation_share: float, seed: int) -> tuple[LabelledImages, LabelledImages]:
    """Training and validation images: disjoint, by one permutation of the indices that only depends on `seed`.

    The split is made once, before shuffling, so no image is ever in both parts. With a share of 0, all images are
    training images.
    """
    order = np.random.default_rng([seed, len(labelled)]).permutation(len(labelled))
    boundary = len(labelled) - round(validation_share * len(labelled))
    if boundary <= 0 or (validation_share and boundary == len(labelled)):
        raise DataError(f"{len(labelled)} training images cannot be split with validation share {validation_share:g}")
    return labelled.take(np.sort(order[:boundary])), labelled.take(np.sort(order[boundary:]))


def _read(
    path: Path | None, reading: Reading
) -> tuple[LabelledImages, LabelledImages | None, tuple[DataFile, ...], tuple[str, ...]]:
    stored = folders.read(path or MNIST, reading.labels)
    parts = arrays.labelled([stored.train, *([stored.test] if stored.test else [])])
    if reading.transpose:
        parts = [LabelledImages(np.ascontiguousarray(part.images.swapaxes(1, 2)), part.labels) for part in parts]
    if reading.invert:
        parts = [LabelledImages(255 - part.images, part.labels) for part in parts]
    return parts[0], parts[1] if stored.test else None, stored.files, stored.notes
