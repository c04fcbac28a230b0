"""A stopped run resumes from its checkpoint, and the same seed gives the same weights bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.training.fitting import CNN, LARGE, Parts, digest, fitted_network

from digits_training.fitting.checkpoint import Checkpoint
from digits_training.fitting.fit import fit
from digits_training.networks import backend
from digits_training.networks.built_in import build_network
from digits_training.settings import Settings


def _few(given: dict[str, Any], parts: Parts) -> Parts:
    """For a convolutional network, which takes long, three batches; the last of them is not full."""
    train, validation = parts
    return (train.take(np.arange(300)), validation) if "network" in given else parts


def test_the_same_seed_gives_the_same_weights_bit_for_bit(parts: Parts, tmp_path: Path) -> None:
    """The cnn-large; a run in two lives, below, proves it for the mlp and the cnn."""
    few = _few(LARGE, parts)
    first, again = (fitted_network(Settings.for_network(seed=7, **LARGE), few, tmp_path) for _ in range(2))
    assert digest(first[0]) == digest(again[0])
    assert first[1] == again[1]


def test_another_seed_gives_other_weights(parts: Parts, tmp_path: Path) -> None:
    first, second = (fitted_network(Settings(seed=seed, epochs=1), parts, tmp_path)[0] for seed in (1, 2))
    assert digest(first) != digest(second)


class Stopped(Exception):
    """Stands for a kill."""


def _fitted_in_two_lives(settings: Settings, parts: Parts, folder: Path, stop_after: str) -> tuple[Any, list[Any]]:
    """Stops once a line that begins so was said, and goes on in a network with other fresh weights."""

    def stop(line: str) -> None:
        if line.startswith(stop_after):
            raise Stopped

    backend.start(settings.seed)
    network, checkpoint = build_network(settings), Checkpoint(folder, "run")
    with pytest.raises(Stopped):
        fit(network, *parts, settings=settings, checkpoint=checkpoint, say=stop)
    return fitted_network(settings, parts, folder)


@pytest.mark.parametrize(
    "given",
    [CNN | {"epochs": 2}, {"averaging": 0.9, "epochs": 3}, {"best_epoch": True, "learning_rate": 0.5, "epochs": 3}],
    ids=["cnn", "averaging", "best epoch"],
)
def test_a_run_in_two_lives_gives_the_weights_of_one_life(given: dict[str, Any], parts: Parts, tmp_path: Path) -> None:
    settings = Settings.for_network(seed=7, **given)
    few = _few(given, parts)
    once = fitted_network(settings, few, tmp_path)
    twice = _fitted_in_two_lives(settings, few, tmp_path, stop_after=f"epoch {settings.epochs - 1}/")
    assert digest(once[0]) == digest(twice[0])
    assert once[1] == twice[1]
