"""The gate compares a candidate with the minimum accuracy and with the served model, and gives the numbers."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from digits_training import cli
from digits_training.conversion import litert
from digits_training.data import DataSet
from digits_training.evaluation.figures import Evaluation, evaluate
from digits_training.jobs import gate
from digits_training.repository import manifest
from digits_training.repository.served import served_version
from digits_training.settings import Settings


@pytest.fixture
def served(published: Path, tmp_path: Path) -> Path:
    """The model folder of a separate repository with the published version."""
    return Path(shutil.copytree(published / "digits", tmp_path / "repository/digits"))


@pytest.fixture(scope="session")
def scores(published: Path, small: DataSet) -> np.ndarray:
    """The published model's probabilities on the test set."""
    return litert.litert_probabilities(published / "digits/1/model.tflite", small.test.images)


def _worse(scores: np.ndarray, small: DataSet, label: int, mistakes: int) -> Evaluation:
    """The same scores but for some images of one label, now answered wrongly."""
    changed = scores.copy()
    right = np.flatnonzero((small.test.labels == label) & (scores.argmax(axis=1) == label))[:mistakes]
    changed[right] = np.eye(10, dtype=np.float32)[(label + 1) % 10]
    return evaluate(changed, small.test.labels)


SETTINGS = Settings(min_accuracy=0.5, max_regression=0.05)


def test_a_model_as_good_as_the_served_one_passes(served: Path, scores: np.ndarray, small: DataSet) -> None:
    assert gate.objections(evaluate(scores, small.test.labels), served, small.test, SETTINGS) == []


def test_the_first_model_has_only_the_bar_to_pass(tmp_path: Path, scores: np.ndarray, small: DataSet) -> None:
    candidate = evaluate(scores, small.test.labels)
    assert gate.objections(candidate, tmp_path / "digits", small.test, SETTINGS) == []
    (objection,) = gate.objections(candidate, tmp_path / "digits", small.test, Settings(min_accuracy=0.99))
    assert objection == f"test accuracy {candidate.accuracy:.4f} is below --min-accuracy 0.99"


def test_one_digit_that_got_worse_is_refused_though_the_whole_did_not(
    served: Path, scores: np.ndarray, small: DataSet
) -> None:
    before, after = evaluate(scores, small.test.labels), _worse(scores, small, label=1, mistakes=8)
    assert before.accuracy - after.accuracy < 0.05
    (objection,) = gate.objections(after, served, small.test, SETTINGS)
    assert objection == (
        f"recall of 1 fell from {before.recall[1]:.4f} (version 1) to {after.recall[1]:.4f}, "
        "more than --max-regression 0.05"
    )


def test_a_fall_within_the_limit_passes(served: Path, scores: np.ndarray, small: DataSet) -> None:
    candidate = _worse(scores, small, label=1, mistakes=8)
    assert gate.objections(candidate, served, small.test, Settings(min_accuracy=0.5, max_regression=0.2)) == []


def test_a_worse_model_is_refused_with_the_numbers(served: Path, scores: np.ndarray, small: DataSet) -> None:
    before = evaluate(scores, small.test.labels)
    after = evaluate(np.roll(scores, 1, axis=1), small.test.labels)
    first, *_ = gate.objections(after, served, small.test, Settings(min_accuracy=0))
    assert first.startswith(f"test accuracy fell from {before.accuracy:.4f} (version 1) to {after.accuracy:.4f}")


def test_the_served_model_is_the_newest_sound_version(served: Path) -> None:
    shutil.copytree(served / "1", served / "7")
    assert served_version(served) == 7
    (served / "7/model.tflite").write_bytes(b"damaged")
    assert served_version(served) == 1
    (served / "1/manifest.json").write_text("{")
    assert served_version(served) is None


@pytest.mark.parametrize(
    ("stated", "serves"),
    [
        ('{"version": 1}', 1),
        ('{"version": 3}', 3),
        ('{"version": 9}', 4),
        ('{"version": 2}', 1),  # 2 is damaged: a version before it stands in
        ('{"shadowVersion": 4}', 3),
        ('{"canaryVersion": 4, "canaryShare": 0.1}', 3),
        ('{"canaryVersion": 4, "canaryShare": 0.1, "shadowVersion": 3}', 1),
        ('{"version": 4, "canaryVersion": 3, "canaryShare": 0.1}', 4),
        ('{"canaryVersion": 0, "shadowVersion": 0, "version": 1}', 1),
    ],
)
def test_the_served_model_is_the_one_that_pin_json_says(served: Path, stated: str, serves: int) -> None:
    for version in (2, 3, 4):
        shutil.copytree(served / "1", served / str(version))
    (served / "2/model.tflite").write_bytes(b"damaged")
    (served / "pin.json").write_text(stated)
    assert served_version(served) == serves


def test_a_canary_serves_where_there_is_no_other_version(served: Path) -> None:
    (served / "pin.json").write_text('{"canaryVersion": 1, "canaryShare": 0.1}')
    assert served_version(served) == 1


def test_a_model_is_compared_with_the_pinned_version_and_not_with_the_newest(
    served: Path, scores: np.ndarray, small: DataSet
) -> None:
    shutil.copytree(served / "1", served / "2")
    (served / "pin.json").write_text('{"version": 1}')
    after = evaluate(np.roll(scores, 1, axis=1), small.test.labels)
    first, *_ = gate.objections(after, served, small.test, Settings(min_accuracy=0))
    assert "(version 1)" in first


@pytest.mark.parametrize("content", ["{", '{"verison": 1}', '{"version": 1}' + " " * 5000, "pipe", "link"])
def test_without_a_valid_pin_json_nothing_passes_for_it_is_not_known_what_serves(
    served: Path, scores: np.ndarray, small: DataSet, content: str
) -> None:
    pin = served / "pin.json"
    if content == "pipe":
        os.mkfifo(pin)
    elif content == "link":
        pin.symlink_to(served / "1/manifest.json")
    else:
        pin.write_text(content)
    (objection,) = gate.objections(evaluate(scores, small.test.labels), served, small.test, SETTINGS)
    assert objection.startswith("pin.json ")
    assert objection.endswith(", so the served version is unknown")


def test_force_publishes_and_says_so_in_the_manifest_and_the_card(
    served: Path, small_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--repository", str(served.parent), "--data", str(small_data), "--epochs", "1", "--seed", "5"]
    assert cli.run(["train", *arguments]) == 3
    assert "fell from" in capsys.readouterr().err
    assert not (served / "2").exists()

    assert cli.run(["train", *arguments, "--force"]) == 0
    assert "published by force, although test accuracy 0." in capsys.readouterr().out
    recorded = manifest.read(served / "2").overruled_objections
    assert any("is below --min-accuracy 0.9" in objection for objection in recorded)
    assert any("fell from" in objection for objection in recorded)
    assert json.loads((served / "2/manifest.json").read_text())["overruledObjections"] == list(recorded)
    assert "**Published by force.**" in (served / "2/report/model_card.md").read_text()
