"""What the training job writes into a manifest, without training a model."""

import hashlib
import json
from pathlib import Path

import numpy as np

from digits.v1.manifest_pb2 import Manifest
from digits_training.data import LabelledImages
from digits_training.evaluation.figures import evaluate
from digits_training.repository import manifest


def test_the_files_of_a_version_are_listed_in_order_but_for_manifest_and_signature(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    for name in ("model.tflite", "report/history.json", "model.keras", "manifest.json", "manifest.json.sig"):
        (tmp_path / name).write_bytes(name.encode())
    given = Manifest(schema_version=1, labels=["Null – nought"])
    manifest.write(given, tmp_path)
    read = manifest.read(tmp_path)
    names = ["model.keras", "model.tflite", "report/history.json"]
    assert [(each.path, each.size_bytes, each.sha256) for each in read.files] == [
        (name, len(name), hashlib.sha256(name.encode()).hexdigest()) for name in names
    ]
    assert not given.files  # what was given is not changed
    assert read.labels == ["Null – nought"]
    text = (tmp_path / "manifest.json").read_bytes().decode()
    assert text.startswith('{\n  "schemaVersion": 1,\n')
    assert text.endswith("}\n")
    assert json.loads(text)["modelName"] == ""  # every field is there, for readers without our schema


def test_the_metrics_are_those_of_the_test_set() -> None:
    labels = np.array([0, 0, 1, 2], np.uint8)
    probabilities = np.full((4, 10), 0.05, np.float32)
    for row, answer in enumerate((0, 1, 1, 2)):
        probabilities[row, answer] = 0.55
    figures = evaluate(probabilities, labels)
    metrics = manifest.metrics_on_test_set(figures, 0.25)
    assert (metrics.test_accuracy, metrics.test_images, metrics.conversion_max_difference) == (0.75, 4, 0.25)
    assert (metrics.test_loss, metrics.expected_calibration_error) == (figures.loss, figures.calibration_error)
    assert [label.images for label in metrics.labels] == [2, 1, 1, *[0] * 7]
    assert [label.recall for label in metrics.labels][:3] == [0.5, 1.0, 1.0]
    assert [label.precision for label in metrics.labels][:3] == [1.0, 0.5, 1.0]
    confusion = np.zeros((10, 10), int)
    confusion[0, 0] = confusion[0, 1] = confusion[1, 1] = confusion[2, 2] = 1
    assert list(metrics.confusion_matrix) == confusion.ravel().tolist()


def test_the_golden_images_are_the_first_two_of_each_label_with_their_scores() -> None:
    labels = np.array([*range(9, -1, -1)] * 3, np.uint8)
    images = np.arange(30, dtype=np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2)
    scores = np.arange(300, dtype=np.float32).reshape(30, 10)
    golden = manifest.golden_images(LabelledImages(images, labels), scores)
    expected = [place for label in range(10) for place in (9 - label, 19 - label)]
    assert [(each.image, list(each.probabilities)) for each in golden] == [
        (bytes([place]) * 784, scores[place].tolist()) for place in expected
    ]
