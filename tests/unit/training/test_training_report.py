"""The report is there, readable, and true to the figures."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from digits_training import manifest, report
from digits_training.data import LabelledImages
from digits_training.evaluate import evaluate

PICTURES = ["history.png", "confusion_matrix.png", "per_label.png", "calibration.png", "mistakes.png"]
LABELS = (*"abcdefghi", "a long label")


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_shows_something(published: Path, name: str) -> None:
    pixels = imread(published / "digits/1/report" / name)
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 0.05


def test_the_history_has_one_value_an_epoch(published: Path) -> None:
    history = json.loads((published / "digits/1/report/history.json").read_text())
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert {len(values) for values in history.values()} == {4}
    assert history["val_accuracy"][-1] == manifest.read(published / "digits/1").metrics.validation_accuracy


def test_the_model_card_has_the_manifests_figures(published: Path) -> None:
    card = (published / "digits/1/report/model_card.md").read_text()
    recorded = manifest.read(published / "digits/1")
    assert f"Accuracy {recorded.metrics.test_accuracy:.4f}" in card
    assert f"| 3 | {recorded.metrics.labels[3].precision:.4f} | {recorded.metrics.labels[3].recall:.4f} |" in card
    assert "| hidden_sizes | 20, 20 |" in card
    assert re.findall(r"\]\((.*?)\)", card) == PICTURES


def test_a_model_without_mistakes_or_with_a_single_label_can_be_drawn(tmp_path: Path) -> None:
    test = LabelledImages(np.zeros((3, 28, 28), np.uint8), np.array([4, 4, 4], np.uint8))
    probabilities = np.eye(10, dtype=np.float32)[test.labels]
    figures = evaluate(probabilities, test.labels)
    report.write_history(tmp_path, [{"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}])
    report.write_confusion_matrix(tmp_path, figures, LABELS)
    report.write_per_label(tmp_path, figures, LABELS)
    report.write_calibration(tmp_path, figures)
    report.write_mistakes(tmp_path, test, probabilities, LABELS)
    assert {path.name for path in tmp_path.glob("*.png")} == set(PICTURES)
