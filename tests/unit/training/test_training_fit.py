"""What the settings of a run do to its epochs, its optimizer and the weights it keeps."""

from pathlib import Path

import numpy as np
import pytest
from support.training.fitting import Parts, fitted_network

from digits_training.errors import DivergedError
from digits_training.evaluation.figures import cross_entropy
from digits_training.fitting import fit as fit_module
from digits_training.fitting.checkpoint import Checkpoint
from digits_training.fitting.fit import fit
from digits_training.fitting.optimizer import build_optimizer
from digits_training.networks import backend
from digits_training.networks.built_in import build_network
from digits_training.networks.predictions import probabilities_of
from digits_training.settings import OPTIMIZERS, Settings


def test_the_history_has_what_was_measured(parts: Parts, tmp_path: Path) -> None:
    network, history = fitted_network(Settings(epochs=3), parts, tmp_path)
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
def test_other_optimizers_learn_too(optimizer: str, parts: Parts, tmp_path: Path) -> None:
    _, history = fitted_network(Settings(optimizer=optimizer, epochs=2), parts, tmp_path)
    assert history[1]["loss"] < history[0]["loss"]


def test_a_run_that_diverges_says_so(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="NaN or infinite in epoch 1: try a lower --learning-rate"):
        fitted_network(Settings(learning_rate=1e30, epochs=3), parts, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_epoch_tells_how_far_it_is(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_module, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(fit_module, "IMAGES_PER_CALL", 405)
    settings = Settings(epochs=1)
    backend.start(settings.seed)
    lines: list[str] = []
    fit(build_network(settings), *parts, settings=settings, checkpoint=Checkpoint(tmp_path, "run"), say=lines.append)
    assert [line.split(":")[0] for line in lines[:-1]] == ["epoch 1/1  at 49%", "epoch 1/1  at 99%"]
    assert lines[-1].startswith("epoch 1/1  loss ")


def test_smoothed_labels_give_less_certain_answers(parts: Parts, tmp_path: Path) -> None:
    certainty = [
        float(probabilities_of(fitted_network(settings, parts, tmp_path)[0], parts[1].images).max(axis=1).mean())
        for settings in (Settings(epochs=8), Settings(epochs=8, label_smoothing=0.5))
    ]
    assert certainty[1] < certainty[0] - 0.1


def test_the_best_epochs_weights_are_kept(parts: Parts, tmp_path: Path) -> None:
    settings = Settings(epochs=6, learning_rate=0.7, best_epoch=True)
    network, history = fitted_network(settings, parts, tmp_path)
    losses = [epoch["val_loss"] for epoch in history]
    assert min(losses) < losses[-1]  # or the test says nothing
    probabilities = probabilities_of(network, parts[1].images)
    assert cross_entropy(probabilities, parts[1].labels) == pytest.approx(min(losses), rel=1e-6)


def test_a_run_stops_when_patience_is_over(parts: Parts, tmp_path: Path) -> None:
    _, history = fitted_network(Settings(epochs=40, learning_rate=0.7, patience=2), parts, tmp_path)
    losses = [epoch["val_loss"] for epoch in history]
    assert len(history) < 40
    assert losses.index(min(losses)) == len(losses) - 3


def test_without_validation_images_there_are_no_validation_figures(parts: Parts, tmp_path: Path) -> None:
    none = parts[1].take(np.arange(0))
    _, history = fitted_network(Settings(epochs=1, validation_share=0), (parts[0], none), tmp_path)
    assert set(history[0]) == {"loss", "accuracy"}


def test_nothing_below_a_step_function_learns(parts: Parts, tmp_path: Path) -> None:
    fitted, history = fitted_network(Settings(activation="step", epochs=3, seed=3), parts, tmp_path)
    backend.start(seed=3)
    fresh = build_network(Settings(activation="step", seed=3))
    changed = [
        not np.array_equal(before, after)
        for before, after in zip(fresh.get_weights(), fitted.get_weights(), strict=True)
    ]
    assert changed == [False, False, False, False, True, True]  # only the last layer, which no step follows
    assert history[-1]["loss"] < history[0]["loss"]
