"""The optimisation is the one Keras would do, and the same every time."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits_training import backend, data
from digits_training.checkpoint import Checkpoint
from digits_training.data import DataSet, LabelledImages
from digits_training.errors import DivergedError
from digits_training.fit import build_optimizer, fit, probabilities_of
from digits_training.networks import build_network
from digits_training.settings import OPTIMIZERS, Settings


def _fitted(settings: Settings, parts: tuple[LabelledImages, LabelledImages], folder: Path) -> tuple[Any, list[Any]]:
    backend.start(settings.seed)
    network = build_network(settings)
    checkpoint = Checkpoint(folder, "run")
    history = fit(network, *parts, settings=settings, checkpoint=checkpoint, say=lambda _line: None)
    checkpoint.remove()
    return network, history


def _digest(network: Any) -> str:
    return hashlib.sha256(b"".join(np.asarray(weights).tobytes() for weights in network.get_weights())).hexdigest()


@pytest.fixture(scope="session")
def parts(small: DataSet) -> tuple[LabelledImages, LabelledImages]:
    """810 training and 90 validation images: the last batch of 20 is half full."""
    return data.split(small.train.take(np.arange(900)), 0.1, seed=0)


CNN = {"network": "cnn", "batch_size": 128, "validation_share": 0.1, "epochs": 1}


@pytest.mark.parametrize("given", [{"epochs": 2}, CNN], ids=["mlp", "cnn"])
def test_the_same_seed_gives_the_same_weights_bit_for_bit(
    given: dict[str, Any], parts: tuple[LabelledImages, LabelledImages], tmp_path: Path
) -> None:
    first, again = (_fitted(Settings.for_network(seed=7, **given), parts, tmp_path) for _ in range(2))
    assert _digest(first[0]) == _digest(again[0])
    assert first[1] == again[1]


def test_another_seed_gives_other_weights(parts: tuple[LabelledImages, LabelledImages], tmp_path: Path) -> None:
    first, second = (_fitted(Settings(seed=seed, epochs=1), parts, tmp_path)[0] for seed in (1, 2))
    assert _digest(first) != _digest(second)


def test_a_step_is_keras_own_training_step(parts: tuple[LabelledImages, LabelledImages], tmp_path: Path) -> None:
    train, _ = parts
    fitted, history = _fitted(Settings(epochs=2, seed=3), parts, tmp_path)

    backend.start(seed=3)
    plain = build_network(Settings(seed=3))
    plain.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    for epoch in range(2):
        order = np.random.default_rng([3, epoch]).permutation(len(train))
        losses = []
        for start in range(0, len(train), 20):
            batch = order[start : start + 20]
            losses.append(len(batch) * float(plain.train_on_batch(train.images[batch], train.labels[batch])))
            plain.reset_metrics()
    for ours, keras in zip(fitted.get_weights(), plain.get_weights(), strict=True):
        assert ours == pytest.approx(keras, abs=1e-5)
    assert history[-1]["loss"] == pytest.approx(sum(losses) / len(train), rel=1e-4)


def test_the_history_has_what_was_measured(parts: tuple[LabelledImages, LabelledImages], tmp_path: Path) -> None:
    network, history = _fitted(Settings(epochs=3), parts, tmp_path)
    assert len(history) == 3
    validation = parts[1]
    probabilities = probabilities_of(network, validation.images)
    assert history[-1]["val_accuracy"] == (probabilities.argmax(axis=1) == validation.labels).mean()
    given = probabilities[np.arange(len(validation)), validation.labels]
    assert history[-1]["val_loss"] == pytest.approx(-np.log(given).mean(), rel=1e-5)
    assert history[0]["loss"] > history[-1]["loss"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_every_optimizer_follows_its_step_size(optimizer: str, schedule: str) -> None:
    backend.start(seed=0)
    built = build_optimizer(
        Settings(optimizer=optimizer, learning_rate=0.25, schedule=schedule, epochs=8), steps_per_epoch=10
    )
    assert type(built).__name__.lower() == optimizer
    built.build(build_network(Settings()).trainable_variables)
    rates = []
    for step in (0, 10, 80):
        built.iterations.assign(step)
        rates.append(float(built.learning_rate))
    assert rates == pytest.approx([0.25, 0.25, 0.25] if schedule == "constant" else [0, 0.25, 0], abs=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "muon", "schedulefreeadamw"])
def test_other_optimizers_learn_too(
    optimizer: str, parts: tuple[LabelledImages, LabelledImages], tmp_path: Path
) -> None:
    _, history = _fitted(Settings(optimizer=optimizer, epochs=2), parts, tmp_path)
    assert history[1]["loss"] < history[0]["loss"]


def test_a_run_that_diverges_says_so(parts: tuple[LabelledImages, LabelledImages], tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="after epoch 1: try a lower --learning-rate"):
        _fitted(Settings(learning_rate=1e30, epochs=3), parts, tmp_path)
    assert list(tmp_path.iterdir()) == []
