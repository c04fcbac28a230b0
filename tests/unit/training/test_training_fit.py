"""The optimisation is the one Keras would do, and the same every time."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits_training import data
from digits_training.data import DataSet, LabelledImages
from digits_training.errors import DataError, DivergedError
from digits_training.evaluation.figures import cross_entropy
from digits_training.fitting import fit as fit_module
from digits_training.fitting.checkpoint import Checkpoint
from digits_training.fitting.fit import fit
from digits_training.fitting.optimizer import build_optimizer
from digits_training.networks import backend
from digits_training.networks.built_in import build_network
from digits_training.networks.predictions import probabilities_of
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


CNN = {"network": "cnn", "batch_size": 128, "epochs": 1}
LARGE = {"network": "cnn-large", "batch_size": 128, "epochs": 1}


@pytest.mark.parametrize("given", [{"epochs": 2}, CNN, LARGE], ids=["mlp", "cnn", "cnn-large"])
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


def test_a_step_of_the_cnn_is_the_mean_of_keras_own_steps_on_both_halves(
    parts: tuple[LabelledImages, LabelledImages], tmp_path: Path
) -> None:
    """Batch normalisation is computed by another kernel than Keras's, its running statistics included."""
    choices: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.01, "schedule": "constant", "weight_decay": None}
    choices |= dict.fromkeys(("dropout", "averaging", "label_smoothing", "rotation", "zoom", "shift"), 0.0)
    choices |= {"epochs": 1, "batch_size": 128}
    settings = Settings.for_network(network="cnn", seed=3, **choices)
    train = parts[0].take(np.arange(256))  # two steps: differences of rounding grow tenfold with each
    fitted, _ = _fitted(settings, (train, parts[1]), tmp_path)

    backend.start(seed=3)
    plain = build_network(settings)
    plain.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    order = np.random.default_rng([3, 0]).permutation(len(train))
    for start in range(0, len(train), 128):
        before, after = plain.get_weights(), []
        for half in (order[start : start + 64], order[start + 64 : start + 128]):
            plain.set_weights(before)
            plain.train_on_batch(train.images[half], train.labels[half])
            after.append(plain.get_weights())
        plain.set_weights([(first + second) / 2 for first, second in zip(*after, strict=True)])
    for ours, keras in zip(fitted.get_weights(), plain.get_weights(), strict=True):
        assert ours == pytest.approx(keras, abs=1e-5)


def test_a_last_batch_of_one_image_cannot_be_halved_and_is_left_out(
    parts: tuple[LabelledImages, LabelledImages], tmp_path: Path
) -> None:
    settings = Settings.for_network(network="cnn", batch_size=8, epochs=1)
    fitted, history = _fitted(settings, (parts[0].take(np.arange(17)), parts[1]), tmp_path)
    assert all(np.isfinite(weights).all() for weights in fitted.get_weights())
    assert history[0]["accuracy"] * 16 == pytest.approx(round(history[0]["accuracy"] * 16))
    with pytest.raises(DataError, match="needs at least 2 training images, not 1"):
        _fitted(settings, (parts[0].take(np.arange(1)), parts[1]), tmp_path / "one")


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
    with pytest.raises(DivergedError, match="NaN or infinite in epoch 1: try a lower --learning-rate"):
        _fitted(Settings(learning_rate=1e30, epochs=3), parts, tmp_path)
    assert list(tmp_path.iterdir()) == []


class Stopped(Exception):
    """Stands for a kill."""


def _fitted_in_two_lives(
    settings: Settings, parts: tuple[LabelledImages, LabelledImages], folder: Path, stop_after: str
) -> tuple[Any, list[Any]]:
    """Stops once a line that begins so was said, and goes on in a network with other fresh weights."""

    def stop(line: str) -> None:
        if line.startswith(stop_after):
            raise Stopped

    backend.start(settings.seed)
    network, checkpoint = build_network(settings), Checkpoint(folder, "run")
    with pytest.raises(Stopped):
        fit(network, *parts, settings=settings, checkpoint=checkpoint, say=stop)
    return _fitted(settings, parts, folder)


@pytest.mark.parametrize(
    "given",
    [CNN | {"epochs": 3}, {"averaging": 0.9, "epochs": 3}, {"best_epoch": True, "learning_rate": 0.5, "epochs": 3}],
    ids=["cnn", "averaging", "best epoch"],
)
def test_a_run_in_two_lives_gives_the_weights_of_one_life(
    given: dict[str, Any], parts: tuple[LabelledImages, LabelledImages], tmp_path: Path
) -> None:
    settings = Settings.for_network(seed=7, **given)
    once = _fitted(settings, parts, tmp_path)
    twice = _fitted_in_two_lives(settings, parts, tmp_path, stop_after="epoch 2/3")
    assert _digest(once[0]) == _digest(twice[0])
    assert once[1] == twice[1]


def test_an_epoch_tells_how_far_it_is(
    parts: tuple[LabelledImages, LabelledImages], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_module, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(fit_module, "IMAGES_PER_CALL", 405)
    settings = Settings(epochs=1)
    backend.start(settings.seed)
    lines: list[str] = []
    fit(build_network(settings), *parts, settings=settings, checkpoint=Checkpoint(tmp_path, "run"), say=lines.append)
    assert [line.split(":")[0] for line in lines[:-1]] == ["epoch 1/1  at 49%", "epoch 1/1  at 99%"]
    assert lines[-1].startswith("epoch 1/1  loss ")


def test_regularisers_count_as_they_do_in_keras(parts: tuple[LabelledImages, LabelledImages], tmp_path: Path) -> None:
    import keras

    def regularised() -> Any:
        backend.start(seed=3)
        inputs = keras.Input((28, 28), dtype="uint8")
        features = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
        layer = keras.layers.Dense(10, activation="softmax", kernel_regularizer=keras.regularizers.L2(0.1))
        return keras.Model(inputs, layer(features))

    train, validation = parts
    ours, plain = regularised(), regularised()
    checkpoint = Checkpoint(tmp_path, "run")
    settings = Settings(epochs=1, seed=3)
    history = fit(ours, train, validation, settings=settings, checkpoint=checkpoint, say=lambda _line: None)
    plain.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    order = np.random.default_rng([3, 0]).permutation(len(train))
    losses = []
    for start in range(0, len(train), 20):
        batch = order[start : start + 20]
        losses.append(len(batch) * float(plain.train_on_batch(train.images[batch], train.labels[batch])))
        plain.reset_metrics()
    for mine, keras_own in zip(ours.get_weights(), plain.get_weights(), strict=True):
        assert mine == pytest.approx(keras_own, abs=1e-5)
    assert history[0]["loss"] == pytest.approx(sum(losses) / len(train), rel=1e-4)


def test_smoothed_labels_give_less_certain_answers(
    parts: tuple[LabelledImages, LabelledImages], tmp_path: Path
) -> None:
    certainty = [
        float(probabilities_of(_fitted(settings, parts, tmp_path)[0], parts[1].images).max(axis=1).mean())
        for settings in (Settings(epochs=8), Settings(epochs=8, label_smoothing=0.5))
    ]
    assert certainty[1] < certainty[0] - 0.1


def test_with_averaging_the_weights_are_the_running_average(
    parts: tuple[LabelledImages, LabelledImages], tmp_path: Path
) -> None:
    train = parts[0].take(np.arange(60))
    fitted, _ = _fitted(Settings(epochs=1, averaging=0.5, seed=3), (train, parts[1]), tmp_path)

    backend.start(seed=3)
    plain = build_network(Settings(seed=3))
    plain.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    order = np.random.default_rng([3, 0]).permutation(60)
    average: list[Any] = []
    for start in range(0, 60, 20):
        plain.train_on_batch(train.images[order[start : start + 20]], train.labels[order[start : start + 20]])
        now = plain.get_weights()
        average = [0.5 * (before + new) for before, new in zip(average or now, now, strict=True)]
    for ours, expected in zip(fitted.get_weights(), average, strict=True):
        assert ours == pytest.approx(expected, abs=1e-5)


def test_the_best_epochs_weights_are_kept(parts: tuple[LabelledImages, LabelledImages], tmp_path: Path) -> None:
    settings = Settings(epochs=6, learning_rate=0.7, best_epoch=True)
    network, history = _fitted(settings, parts, tmp_path)
    losses = [epoch["val_loss"] for epoch in history]
    assert min(losses) < losses[-1]  # or the test says nothing
    probabilities = probabilities_of(network, parts[1].images)
    assert cross_entropy(probabilities, parts[1].labels) == pytest.approx(min(losses), rel=1e-6)


def test_a_run_stops_when_patience_is_over(parts: tuple[LabelledImages, LabelledImages], tmp_path: Path) -> None:
    _, history = _fitted(Settings(epochs=40, learning_rate=0.7, patience=2), parts, tmp_path)
    losses = [epoch["val_loss"] for epoch in history]
    assert len(history) < 40
    assert losses.index(min(losses)) == len(losses) - 3


def test_without_validation_images_there_are_no_validation_figures(
    parts: tuple[LabelledImages, LabelledImages], tmp_path: Path
) -> None:
    none = parts[1].take(np.arange(0))
    _, history = _fitted(Settings(epochs=1, validation_share=0), (parts[0], none), tmp_path)
    assert set(history[0]) == {"loss", "accuracy"}


def test_nothing_below_a_step_function_learns(parts: tuple[LabelledImages, LabelledImages], tmp_path: Path) -> None:
    fitted, history = _fitted(Settings(activation="step", epochs=3, seed=3), parts, tmp_path)
    backend.start(seed=3)
    fresh = build_network(Settings(activation="step", seed=3))
    changed = [
        not np.array_equal(before, after)
        for before, after in zip(fresh.get_weights(), fitted.get_weights(), strict=True)
    ]
    assert changed == [False, False, False, False, True, True]  # only the last layer, which no step follows
    assert history[-1]["loss"] < history[0]["loss"]
