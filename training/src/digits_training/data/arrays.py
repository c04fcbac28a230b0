"""Converts arrays of images and labels to the form that training takes, if their meaning is unambiguous."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_training.data.labelled import LABELS, SIDE, LabelledImages, StoredPart
from digits_training.errors import DataError

SHAPES = ((SIDE, SIDE), (SIDE * SIDE,), (SIDE, SIDE, 1), (1, SIDE, SIDE))
"""Shapes of one image whose meaning is unambiguous."""


def labelled(parts: list[StoredPart]) -> list[LabelledImages]:
    """The parts of one data set as uint8[N, 28, 28] and uint8[N]. All parts have the same scale of pixels.

    Images: N × 28 × 28, N × 784, N × 28 × 28 × 1 or N × 1 × 28 × 28; bytes, booleans, or integers and floats from 0 to
    1 or from 0 to 255. Labels: whole numbers of any type, or one-hot rows of ten. Raises DataError.
    """
    images = [_shaped(part) for part in parts]
    factor = (
        255 if max(_highest(array, part.images_name) for array, part in zip(images, parts, strict=True)) <= 1 else 1
    )
    return [
        _matched(_as_bytes(array, factor), labels_of(part.labels, part.labels_name), part)
        for array, part in zip(images, parts, strict=True)
    ]


def labels_of(labels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """uint8[N] of labels as they are stored. Raises DataError."""
    if labels.dtype.kind in "US":
        labels = _parsed(labels, name)
    if labels.dtype.kind not in "biuf":
        raise DataError(f"{name} must be whole numbers from 0 to {LABELS - 1}, not {_described(labels)}")
    if labels.ndim == 2 and labels.shape[1] == LABELS and _one_hot(labels):
        labels = labels.argmax(axis=1)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(f"{name} must be integers[N] or one-hot [N, {LABELS}], not {_described(labels)}")
    if labels.dtype.kind == "f" and not (labels == np.floor(labels)).all():
        raise DataError(
            f"{name} must be whole numbers from 0 to {LABELS - 1}; {labels[labels != np.floor(labels)][0]:g} is not"
        )
    wrong = labels[(labels < 0) | (labels >= LABELS)] if labels.dtype.kind != "b" else labels[:0]
    if len(wrong):
        one_more = labels.min() == 1 and labels.max() == LABELS
        line = "; these labels begin with 1, so convert them first: labels = labels - 1" if one_more else ""
        raise DataError(f"{name} has label {wrong[0]:.0f}; labels are 0 to {LABELS - 1}{line}")
    return labels.astype(np.uint8)


def _shaped(part: StoredPart) -> NDArray[Any]:
    """[N, 28, 28] of any type of number."""
    images, name = part.images, part.images_name
    if images.shape[1:] not in SHAPES or not len(images) or images.dtype.kind not in "buif":
        raise DataError(
            f"{name} must be [N, {SIDE}, {SIDE}] or [N, {SIDE * SIDE}], not {_described(images)}{_conversion(images)}"
        )
    return images.reshape(-1, SIDE, SIDE)


def _conversion(images: NDArray[Any]) -> str:
    """The line of Python that converts images of this shape, if one is known."""
    if images.ndim == 4 and images.shape[1:3] == (SIDE, SIDE):
        return "; to make colour images grey: images = images.mean(axis=3)"
    if images.shape[:2] == (SIDE, SIDE) and images.ndim == 3:
        return "; to put the images first: images = images.transpose(2, 0, 1)"
    if images.shape[:1] == (SIDE * SIDE,) and images.ndim == 2:
        return "; to put the images first: images = images.T"
    if images.ndim == 3 and len(images):
        return (
            "; images of another size are read as picture files: save each one as "
            "train/LABEL/NUMBER.png with PIL.Image.fromarray(image).save(path)"
        )
    return ""


def _highest(images: NDArray[Any], name: str) -> float:
    """The highest pixel. Raises DataError unless all are from 0 to 255."""
    lowest, highest = float(images.min()), float(images.max())
    if not np.isfinite([lowest, highest]).all():
        raise DataError(f"{name} has pixels that are NaN or infinite")
    if lowest < 0:
        scaled = lowest >= -1 and highest <= 1
        line = "images = (images + 1) * 127.5" if scaled else "images = (images - images.min()) / np.ptp(images) * 255"
        raise DataError(
            f"{name} has pixels from {lowest:g} to {highest:g}; they must be from 0 to 1 or from 0 to 255: {line}"
        )
    if highest > 255:
        line = "images = images / 257" if images.dtype == np.uint16 else "images = images / images.max() * 255"
        raise DataError(f"{name} has pixels up to {highest:g}; they must be from 0 to 1 or from 0 to 255: {line}")
    return highest


def _as_bytes(images: NDArray[Any], factor: int) -> NDArray[np.uint8]:
    if factor == 1 and images.dtype == np.uint8:
        return images
    converted = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), 10_000):  # a part at a time: float64 takes eight times the memory
        converted[start : start + 10_000] = np.rint(images[start : start + 10_000] * np.float64(factor))
    return converted


def _one_hot(labels: NDArray[Any]) -> bool:
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all())


def _parsed(labels: NDArray[Any], name: str) -> NDArray[Any]:
    try:
        return labels.astype(np.int64)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{name} must be whole numbers from 0 to {LABELS - 1}: {error}") from error


def _matched(images: NDArray[np.uint8], labels: NDArray[np.uint8], part: StoredPart) -> LabelledImages:
    if len(images) != len(labels):
        raise DataError(f"{part.labels_name} has {len(labels):,} labels for {len(images):,} images")
    return LabelledImages(images, labels)


def _described(array: NDArray[Any]) -> str:
    return f"{array.dtype}{list(array.shape)}"
