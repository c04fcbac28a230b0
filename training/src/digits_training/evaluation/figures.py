"""How good a model is: figures from its probabilities and the true labels. Pure NumPy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits_training.data import LABELS

CALIBRATION_BINS = 15  # of equal width over the confidence, as in Guo et al. 2017
_SMALLEST = 1e-12  # probability; keeps the logarithm of a rounded 0 finite


@dataclass(frozen=True)
class Evaluation:
    """Figures on N images. Shares and accuracies are fractions from 0 to 1, losses nats."""

    images: int
    accuracy: float
    loss: float
    confusion: NDArray[np.int64]  # [10, 10], rows true labels, columns answers
    calibration_error: float
    bin_counts: NDArray[np.int64]  # [15], by confidence
    bin_confidence: NDArray[np.float64]  # [15], means; 0 where a bin is empty
    bin_accuracy: NDArray[np.float64]  # [15]; 0 where a bin is empty

    @property
    def precision(self) -> NDArray[np.float64]:
        """[10]: of the images answered with a label, the share that have it; 0 if it was never answered."""
        return _share(self.confusion.diagonal(), self.confusion.sum(axis=0))

    @property
    def recall(self) -> NDArray[np.float64]:
        """[10]: of the images with a label, the share answered with it; 0 if no image has it."""
        return _share(self.confusion.diagonal(), self.confusion.sum(axis=1))


def evaluate(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> Evaluation:
    """The figures of float32[N, 10] probabilities against uint8[N] true labels; N is at least 1."""
    answers = probabilities.argmax(axis=1)
    right = answers == labels
    confusion = np.zeros((LABELS, LABELS), np.int64)
    np.add.at(confusion, (labels, answers), 1)

    confidence = probabilities.max(axis=1).astype(np.float64)
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    bin_confidence = _share(np.bincount(bins, confidence, CALIBRATION_BINS), counts)
    bin_accuracy = _share(np.bincount(bins, right, CALIBRATION_BINS), counts)

    return Evaluation(
        images=len(labels),
        accuracy=accuracy(probabilities, labels),
        loss=cross_entropy(probabilities, labels),
        confusion=confusion,
        calibration_error=float(np.abs(bin_accuracy - bin_confidence) @ counts / len(labels)),
        bin_counts=counts,
        bin_confidence=bin_confidence,
        bin_accuracy=bin_accuracy,
    )


def accuracy(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """Share of the images whose largest probability is that of their true label."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def cross_entropy(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """Mean of −log of the probability given to the true label, in nats."""
    given = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(given, _SMALLEST)).mean())


def _share(part: NDArray[np.number], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = np.zeros(len(whole))
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
