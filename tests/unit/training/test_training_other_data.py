"""Data sets of the same form as MNIST and harder than it, by the commands that docs/training.md gives for them."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from digits_training import cli
from digits_training.data import LabelledImages
from digits_training.repository import manifest

from .conftest import WriteDataSet

PAGE = Path(__file__).parents[3] / "docs/training.md"
WRONG_LABELS = 0.13  # share of the test images; clothes are as hard for the mlp
RANDOM = np.random.default_rng(0)
PATTERNS = RANDOM.choice([0, 255], (10, 28, 28)).astype(np.uint8)


def _clothes(count: int, wrong: float) -> LabelledImages:
    """Ten kinds of images that are easy to tell apart, some of them under a wrong label."""
    labels = RANDOM.integers(0, 10, count, np.uint8)
    images = np.where(RANDOM.random((count, 28, 28)) < 0.1, 255 - PATTERNS[labels], PATTERNS[labels])
    moved = (labels + RANDOM.integers(1, 10, count, np.uint8)) % 10
    return LabelledImages(images, np.where(RANDOM.random(count) < wrong, moved, labels).astype(np.uint8))


def documented_command() -> list[str]:
    (command,) = re.findall(
        r"^ +digits-train (train --data fashion-mnist (?:.*\\\n)*.*)$", PAGE.read_text(), re.MULTILINE
    )
    return shlex.split(command.replace("\\\n", " "))


@pytest.fixture
def folder(write_data_set: WriteDataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with Fashion-MNIST's four files in it under the names they are downloaded by."""
    write_data_set(tmp_path / "fashion-mnist", _clothes(2_000, 0.0), _clothes(1_000, WRONG_LABELS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_clothes_as_downloaded_are_published_by_the_documented_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = documented_command()
    bar = command.index("--min-accuracy")
    assert cli.run(command[:bar] + command[bar + 2 :]) == 3
    assert "below" in capsys.readouterr().err
    assert cli.run(command) == 0
    made = manifest.read(folder / "fashion/digits/1")
    assert 0.8 < made.metrics.test_accuracy < 0.9
    assert list(made.labels)[-1] == "Ankle boot"
