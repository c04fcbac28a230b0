"""If TensorFlow is not installed, the main job trains in a layer on its environment, and removes it afterwards."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import trainer
from support.waiting import until

CANNOT_INSTALL = "could not be installed; the lines above say why"


@pytest.fixture(autouse=True)
def without_tensorflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if only the packages for running were installed. Layers are made in `tmp_path`, without large packages."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(trainer, "LOCKED", "build.txt")


def test_the_layer_is_there_while_it_trains_and_removed_after_it(tmp_path: Path) -> None:
    with trainer.trainer() as digits_train:
        python = Path(digits_train[0])
        assert python.is_relative_to(tmp_path)
        help_text = subprocess.run(
            [*digits_train, "train", "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert "--repository" in help_text
        own = [*python.parents[1].glob("lib/python3*/site-packages/hatchling")]
        assert own, "the layer has the packages of its lock"
    until(lambda: not [*tmp_path.iterdir()], "the layer is removed")


def test_a_layer_that_was_prepared_is_used_instead_of_a_new_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trainer.prepare()
    until(lambda: [*tmp_path.iterdir()] == [trainer.prepared()], "only the layer is left")
    monkeypatch.setattr(trainer, "LOCKED", "no such lock.txt")
    with trainer.trainer() as digits_train:
        assert not trainer.prepared().exists(), "no other job may take it, too"
        subprocess.run([*digits_train, "--help"], capture_output=True, check=True)
    until(lambda: not [*tmp_path.iterdir()], "the layer is removed")


def test_a_layer_that_was_prepared_and_is_not_needed_is_removed(tmp_path: Path) -> None:
    trainer.prepare()
    trainer.discard()
    until(lambda: not [*tmp_path.iterdir()], "the layer is removed")
    trainer.discard()


def test_a_layer_that_cannot_be_made_is_a_sentence_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(trainer, "LOCKED", "no such lock.txt")
    with pytest.raises(trainer.CannotInstall, match=CANNOT_INSTALL), trainer.trainer():
        pass
    with pytest.raises(trainer.CannotInstall, match=CANNOT_INSTALL):
        trainer.prepare()
    until(lambda: not [*tmp_path.iterdir()], "the layer is removed")
