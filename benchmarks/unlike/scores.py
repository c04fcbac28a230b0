"""The candidates. Each gives an image a score: the less the image is like a digit, the higher. float64[N]."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RIDGE = 1e-3
"""Added to the covariance, as a share of its mean variance: features that never vary would have none."""

BLOCK = 1000
"""Images whose distances to all training images are computed at once."""


def highest_probability(probabilities: Array) -> Array:
    """One minus the highest probability.

    (D. Hendrycks, K. Gimpel, "A baseline for detecting misclassified and out-of-distribution examples", 2017)
    """
    scores: Array = 1 - probabilities.max(axis=1)
    return scores


def entropy(probabilities: Array) -> Array:
    """The entropy of the probabilities, in nats."""
    scores: Array = -(probabilities * np.log(np.maximum(probabilities, 1e-30))).sum(axis=1)
    return scores


def margin(probabilities: Array) -> Array:
    """How close the second highest probability comes to the highest."""
    ordered = np.sort(probabilities, axis=1)
    scores: Array = 1 - (ordered[:, -1] - ordered[:, -2])
    return scores


def highest_logit(logits: Array) -> Array:
    """The highest logit, negated.

    (D. Hendrycks et al., "Scaling out-of-distribution detection for real-world settings", 2022)
    """
    scores: Array = -logits.max(axis=1)
    return scores


def energy(logits: Array) -> Array:
    """The logarithm of the sum of the exponentials of the logits, negated.

    (W. Liu et al., "Energy-based out-of-distribution detection", 2020)
    """
    scores: Array = -np.logaddexp.reduce(logits, axis=1)
    return scores


class ClassMeans:
    """Squared Mahalanobis distance to the nearest class mean, with one covariance for all classes.

    (K. Lee et al., "A simple unified framework for detecting out-of-distribution samples", 2018)
    """

    def __init__(self, features: Array, labels: NDArray[np.uint8]) -> None:
        """From float64[N, F] of training images and their labels."""
        means = np.stack([features[labels == label].mean(axis=0) for label in np.unique(labels)])
        centred = features - means[np.searchsorted(np.unique(labels), labels)]
        covariance = centred.T @ centred / len(features)
        covariance += np.eye(len(covariance)) * RIDGE * np.trace(covariance) / len(covariance)
        self._whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
        self._means = means @ self._whiten

    def __call__(self, features: Array) -> Array:
        return _nearest(features @ self._whiten, self._means)


class Nearest:
    """Squared distance to the nearest training image, between features of length 1.

    (Y. Sun et al., "Out-of-distribution detection with deep nearest neighbors", 2022)
    """

    def __init__(self, features: Array) -> None:
        self._features = _unit(features)

    def __call__(self, features: Array) -> Array:
        return _nearest(_unit(features), self._features)


def quarters(maps: Array) -> Array:
    """The mean of each channel over each quarter of its map: float64[N, height, width, C] → float64[N, 4 C].

    Of an odd height or width, the first half is the larger one.
    """
    middle_row, middle_column = ((size + 1) // 2 for size in maps.shape[1:3])
    halves = (maps[:, :middle_row], maps[:, middle_row:])
    parts = [part for half in halves for part in (half[:, :, :middle_column], half[:, :, middle_column:])]
    return np.concatenate([part.mean(axis=(1, 2)) for part in parts], axis=1)


def _unit(features: Array) -> Array:
    scaled: Array = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return scaled


def _nearest(points: Array, others: Array) -> Array:
    """The squared distance of each point to the nearest of the others."""
    lengths = (others**2).sum(axis=1)
    blocks = (points[start : start + BLOCK] for start in range(0, len(points), BLOCK))
    return np.concatenate([(lengths - 2 * block @ others.T).min(axis=1) + (block**2).sum(axis=1) for block in blocks])
