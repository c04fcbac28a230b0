"""A published version has everything that the artifact contract promises."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format

from digits_training.conversion import litert
from digits_training.data import DataSet
from digits_training.repository import manifest


@pytest.fixture
def version(published: Path) -> Path:
    return published / "digits/1"


def test_the_version_holds_the_promised_files(version: Path) -> None:
    assert {"model.keras", "model.tflite", "manifest.json", "report"} == {path.name for path in version.iterdir()}
    assert {"history.png", "confusion_matrix.png", "history.json", "model_card.md"} <= {
        path.name for path in (version / "report").iterdir()
    }
    assert [path.name for path in version.parent.iterdir()] == ["1"]


def test_every_file_is_listed_with_its_size_and_checksum(version: Path) -> None:
    listed = manifest.read(version).files
    actual = sorted(str(path.relative_to(version)) for path in version.rglob("*") if path.is_file())
    assert [file.path for file in listed] == [path for path in actual if path != "manifest.json"]
    for file in listed:
        content = (version / file.path).read_bytes()
        assert (file.size_bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_tools_find_the_fields_the_contract_names(version: Path) -> None:
    content: dict[str, Any] = json.loads((version / "manifest.json").read_text())
    assert content["schemaVersion"] == 1
    assert content["modelName"] == "digits"
    assert content["modelVersion"] == "1"
    assert 0.6 < content["metrics"]["testAccuracy"] < 1
    assert len(content["files"][0]["sha256"]) == 64
    assert content["input"] == {"dtype": "uint8", "shape": [28, 28], "background": 0, "ink": 255}
    assert content["labels"] == list("0123456789")


def test_every_hyperparameter_is_recorded_by_its_settings_name(version: Path) -> None:
    recorded = json_format.MessageToDict(manifest.read(version).training.hyperparameters)
    assert (recorded["epochs"], recorded["batch_size"], recorded["seed"]) == (4, 20, 0)
    assert (recorded["optimizer"], recorded["activation"], recorded["hidden_sizes"]) == ("sgd", "relu", [20, 20])


def test_no_path_of_the_machine_is_published(version: Path, small_data: Path) -> None:
    text = (version / "manifest.json").read_text() + (version / "report/model_card.md").read_text()
    assert str(small_data) not in text
    assert str(version.parent) not in text


def test_what_the_model_was_made_from_is_recorded(version: Path) -> None:
    training = manifest.read(version).training
    assert (training.network, training.parameters) == ("mlp", 16_330)
    assert (training.training_images, training.validation_images) == (2100, 900)
    assert sum(training.label_counts) == 2100
    assert len(training.data) == 4


def test_the_figures_are_those_of_the_converted_model(version: Path, small: DataSet) -> None:
    metrics = manifest.read(version).metrics
    answers = litert.litert_probabilities(version / "model.tflite", small.test.images).argmax(axis=1)
    assert metrics.test_accuracy == (answers == small.test.labels).mean()
    assert metrics.test_images == sum(metrics.confusion_matrix) == 1000
    assert [label.images for label in metrics.labels] == small.test.label_counts()
    assert metrics.conversion_max_difference < 1e-4


def test_twenty_golden_images_two_of_each_digit_have_their_scores(version: Path, small: DataSet) -> None:
    read = manifest.read(version)
    images = np.stack([np.frombuffer(golden.image, np.uint8).reshape(28, 28) for golden in read.golden_images])
    published_scores = np.array([golden.probabilities for golden in read.golden_images], np.float32)
    scores = litert.litert_probabilities(version / "model.tflite", images)
    assert np.abs(scores - published_scores).max() <= read.golden_tolerance == np.float32(1e-4)
    first_two = [np.flatnonzero(small.test.labels == label)[:2] for label in range(10)]
    assert np.array_equal(images, small.test.images[np.concatenate(first_two)])
