"""How well a score separates two kinds of images. The less an image is like a digit, the higher its score."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

CAUGHT = 0.95
"""Share of the unlike images that the first threshold catches."""

REFUSED = 0.01
"""Share of the MNIST test digits that the second threshold refuses."""


def auroc(unlike: Scores, good: Scores) -> float:
    """The probability that an unlike image has the higher score than a good one; equal scores count half.

    This is the area under the ROC curve (J. Hanley, B. McNeil, 1982). 1 is perfect, 0.5 is a coin, 0 is always wrong.
    """
    order = np.sort(good)
    below, not_above = np.searchsorted(order, unlike, "left"), np.searchsorted(order, unlike, "right")
    return float((below + not_above).mean() / 2 / len(good))


def threshold_that_catches(unlike: Scores, share: float = CAUGHT) -> float:
    """The highest threshold that at least `share` of the unlike images reach."""
    order = np.sort(unlike)[::-1]
    return float(order[int(np.ceil(share * len(order))) - 1])


def threshold_that_refuses(good: Scores, share: float = REFUSED) -> float:
    """The lowest threshold above the scores of all good images except `share` of them.

    Where many good images have one score, fewer than `share` are refused.
    """
    order = np.sort(good)
    return float(np.nextafter(order[len(order) - 1 - int(share * len(order))], np.inf))


def refused(scores: Scores, threshold: float) -> float:
    """The share of images whose score reaches the threshold."""
    return float((scores >= threshold).mean())
