"""Warns of data that can be read but would make a bad model."""

import numpy as np
from numpy.typing import NDArray

from digits_training.data.labelled import LABELS, LabelledImages
from digits_training.data.limits import FEW_IMAGES, LIGHT_PAPER


def warnings(train: LabelledImages, test: LabelledImages, *, labels: tuple[str, ...], inverted: bool) -> list[str]:
    """One sentence for each problem that the user should look at before training; empty if there is no problem.

    `labels`: the ten names. `inverted`: whether --invert was given.
    """
    return [
        *paper(train, inverted=inverted),
        *_missing(train.label_counts(), labels),
        *_few(train.label_counts(), labels),
        *_untested(train.label_counts(), test.label_counts(), labels),
    ]


def light_share(images: NDArray[np.uint8]) -> float:
    """The share of uint8[N, 28, 28] images whose edge is mostly light, like paper."""
    edges = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    return float((np.median(edges, axis=1) >= LIGHT_PAPER).mean())


def paper(train: LabelledImages, *, inverted: bool) -> list[str]:
    """A sentence if some or most images are dark ink on light paper; empty if all have dark edges."""
    share = light_share(train.images)
    if share < 0.05:
        return []
    if share <= 0.5:
        return [f"{share:.0%} of the images have light edges, the others dark ones; clients send only dark edges"]
    remedy = "leave out --invert" if inverted else "add --invert"
    sentence = (
        f"{share:.0%} of the images look like dark ink on light paper; clients send 0 for background and 255 "
        f"for ink, so the model would answer them wrongly: {remedy}"
    )
    return [sentence]


def _missing(counts: list[int], labels: tuple[str, ...]) -> list[str]:
    missing = [index for index, count in enumerate(counts) if not count]
    if not missing:
        return []
    sentence = f"{_named(missing, labels)}: no training images, so the model never learns to give this answer"
    if missing == [0]:
        sentence += "; if the labels of the files begin with 1 and 1 means the first label, subtract 1 from them"
    return [sentence]


def _few(counts: list[int], labels: tuple[str, ...]) -> list[str]:
    few = [index for index, count in enumerate(counts) if 0 < count < FEW_IMAGES]
    if not few:
        return []
    least = min(counts[index] for index in few)
    return [f"{_named(few, labels)}: fewer than {FEW_IMAGES} training images (the fewest: {least}); collect more"]


def _untested(counts: list[int], tested: list[int], labels: tuple[str, ...]) -> list[str]:
    untested = [index for index in range(LABELS) if counts[index] and not tested[index]]
    if not untested:
        return []
    return [f"{_named(untested, labels)}: no test images, so the model's accuracy on them is unknown"]


def _named(indices: list[int], labels: tuple[str, ...]) -> str:
    return ("label " if len(indices) == 1 else "labels ") + ", ".join(labels[index] for index in indices)
