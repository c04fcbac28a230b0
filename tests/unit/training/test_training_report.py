"""The report is there, readable, and true to the figures."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.image import imread

from digits_training.data import DataSet, LabelledImages
from digits_training.evaluation import model_card, plots
from digits_training.evaluation.figures import evaluate
from digits_training.repository import manifest

pytestmark = pytest.mark.usefixtures("drawn_pictures")

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
    plots.write_history(tmp_path, [{"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}])
    plots.write_confusion_matrix(tmp_path, figures, LABELS)
    plots.write_per_label(tmp_path, figures, LABELS)
    plots.write_calibration(tmp_path, figures)
    plots.write_mistakes(tmp_path, test, probabilities, LABELS)
    assert {path.name for path in tmp_path.glob("*.png")} == set(PICTURES)


def _head(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    return dict(yaml.safe_load(head))


def test_the_head_of_the_card_is_what_hubs_read(published: Path) -> None:
    recorded = manifest.read(published / "digits/1")
    head = _head((published / "digits/1/report/model_card.md").read_text())
    assert (head["library_name"], head["pipeline_tag"]) == ("keras", "image-classification")
    (result,) = head["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "value": round(recorded.metrics.test_accuracy, 4)}]
    assert not {"license", "datasets"} & head.keys()  # its data set is none that we know the licence of


def test_the_card_of_a_model_of_mnist_names_data_and_licences(published: Path, tmp_path: Path, mnist: DataSet) -> None:
    recorded = manifest.read(published / "digits/1")
    del recorded.training.data[:]
    recorded.training.data.extend(mnist.files)
    model_card.write(tmp_path, recorded)
    card = (tmp_path / "model_card.md").read_text()
    head = _head(card)
    assert (head["license"], head["datasets"]) == ("apache-2.0", ["ylecun/mnist"])
    assert head["model-index"][0]["results"][0]["dataset"] == {"name": "MNIST", "type": "ylecun/mnist", "split": "test"}
    assert "Creative Commons Attribution-ShareAlike 3.0" in card
    assert "## Intended use" in card


def test_an_imported_model_claims_no_licence_and_no_training_data(
    published: Path, tmp_path: Path, mnist: DataSet
) -> None:
    recorded = manifest.read(published / "digits/1")
    recorded.training.imported_file.path = 'a "quoted": name.h5'
    del recorded.training.data[:]
    recorded.training.data.extend(mnist.files)
    model_card.write(tmp_path, recorded)
    head = _head((tmp_path / "model_card.md").read_text())
    assert not {"license", "datasets"} & head.keys()


def test_a_history_without_validation_can_be_drawn(tmp_path: Path) -> None:
    plots.write_history(tmp_path, [{"loss": 1.0, "accuracy": 0.5}])
    assert imread(tmp_path / "history.png")[..., :3].std() > 0.05
