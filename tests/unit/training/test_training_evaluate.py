"""The figures, against ones worked out by hand."""

import numpy as np
import pytest

from digits_training.evaluation.figures import evaluate


def _sure(answer: int, confidence: float) -> list[float]:
    """Ten probabilities: `confidence` on one label, the rest spread evenly."""
    rest = (1 - confidence) / 9
    return [confidence if label == answer else rest for label in range(10)]


PROBABILITIES = np.array([_sure(0, 0.95), _sure(0, 0.95), _sure(1, 0.55), _sure(1, 0.55)], np.float32)
LABELS = np.array([0, 1, 1, 1], np.uint8)


def test_accuracy_is_the_share_answered_rightly() -> None:
    assert evaluate(PROBABILITIES, LABELS).accuracy == 0.75


def test_loss_is_the_mean_cross_entropy_in_nats() -> None:
    by_hand = -(np.log(0.95) + np.log(0.05 / 9) + 2 * np.log(0.55)) / 4
    assert evaluate(PROBABILITIES, LABELS).loss == pytest.approx(by_hand, rel=1e-5)


def test_a_rounded_zero_for_the_true_label_keeps_the_loss_finite() -> None:
    certain = np.eye(10, dtype=np.float32)[[3]]
    assert np.isfinite(evaluate(certain, np.array([4], np.uint8)).loss)


def test_the_confusion_matrix_has_true_labels_in_its_rows() -> None:
    confusion = evaluate(PROBABILITIES, LABELS).confusion
    assert (confusion[0, 0], confusion[1, 0], confusion[1, 1], confusion.sum()) == (1, 1, 2, 4)


def test_precision_and_recall_are_shares_of_answers_and_of_labels() -> None:
    figures = evaluate(PROBABILITIES, LABELS)
    assert figures.precision[:3].tolist() == [0.5, 1.0, 0.0]
    assert figures.recall[:3].tolist() == pytest.approx([1.0, 2 / 3, 0.0])


def test_calibration_error_is_the_mean_gap_between_confidence_and_accuracy() -> None:
    # Two images at 0.95 confidence are right half the time, two at 0.55 always.
    figures = evaluate(PROBABILITIES, LABELS)
    assert figures.calibration_error == pytest.approx((0.45 + 0.45) / 2, abs=1e-6)
    assert figures.bin_counts.sum() == 4


def test_full_confidence_falls_into_the_last_bin() -> None:
    figures = evaluate(np.eye(10, dtype=np.float32), np.arange(10, dtype=np.uint8))
    assert figures.bin_counts[-1] == 10
    assert figures.calibration_error == 0
