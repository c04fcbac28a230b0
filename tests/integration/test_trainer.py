"""If TensorFlow is not installed, the main job makes an environment for training, and removes it afterwards."""

import importlib.util
import sys
from pathlib import Path

import pytest
import trainer
from support.waiting import until


@pytest.fixture(autouse=True)
def without_tensorflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if only the packages for running were installed.

    Environments are made in `tmp_path`, without large packages.
    """
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(trainer, "LOCKED", ("build.txt",))


def test_the_environment_is_there_while_it_trains_and_removed_after_it(tmp_path: Path) -> None:
    with trainer.trainer() as digits_train:
        assert digits_train.is_relative_to(tmp_path)
        assert digits_train.exists()
    until(lambda: not [*tmp_path.iterdir()], "the environment is removed")


def test_an_environment_that_cannot_be_made_is_a_sentence_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(trainer, "LOCKED", ("no such lock.txt",))
    with (
        pytest.raises(trainer.CannotInstall, match="could not be installed; the lines above say why"),
        trainer.trainer(),
    ):
        pass
    until(lambda: not [*tmp_path.iterdir()], "the environment is removed")
