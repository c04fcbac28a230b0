"""Labelled images in the one form that training takes, and the parts of a data set as a reader found them."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.v1.manifest_pb2 import DataFile

SIDE = 28  # pixels
LABELS = 10


@dataclass(frozen=True)
class LabelledImages:
    """N images, uint8[N, 28, 28], 0 background to 255 ink, and their labels, uint8[N], 0 to 9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> "LabelledImages":
        return LabelledImages(self.images[indices], self.labels[indices])

    def label_counts(self) -> list[int]:
        """Ten counts, in the order of the labels."""
        return [int(count) for count in np.bincount(self.labels, minlength=LABELS)]


@dataclass(frozen=True)
class StoredPart:
    """Training or test images as a file stores them: N images, N labels, each with its name for error messages."""

    images: NDArray[Any]
    labels: NDArray[Any]
    images_name: str
    labels_name: str


@dataclass(frozen=True)
class StoredData:
    """What a reader found: test images only if the data have them, the files, and sentences about what was left out."""

    train: StoredPart
    test: StoredPart | None
    files: tuple[DataFile, ...]
    notes: tuple[str, ...] = ()


def data_file(name: str, stored: bytes) -> DataFile:
    """A file of the data set, as the manifest lists it."""
    return DataFile(name=name, sha256=hashlib.sha256(stored).hexdigest(), size_bytes=len(stored))
