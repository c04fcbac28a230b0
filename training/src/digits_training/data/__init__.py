"""Labelled images of 28 × 28 pixels: read, converted, checked, split.

`read` returns the data set at a path, or MNIST. `formats` has a reader for each file format, `limits` every limit.
"""

from digits_training.data.dataset import (
    MNIST,
    DataSet,
    Reading,
    files_at,
    is_mnist,
    read,
    read_unseen,
    reading_of,
    split,
)
from digits_training.data.labelled import LABELS, SIDE, LabelledImages

__all__ = [
    "LABELS",
    "MNIST",
    "SIDE",
    "DataSet",
    "LabelledImages",
    "Reading",
    "files_at",
    "is_mnist",
    "read",
    "read_unseen",
    "reading_of",
    "split",
]
