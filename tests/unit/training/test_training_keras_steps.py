"""A step of the optimisation is the step that Keras would take."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.training.fitting import Parts, fitted_network

from digits_training.errors import DataError
from digits_training.fitting.checkpoint import Checkpoint
from digits_training.fitting.fit import fit
from digits_training.networks import backend
from digits_training.networks.built_in import build_network
from digits_training.settings import Settings


def test_a_step_is_keras_own_training_step(parts: Parts, tmp_path: Path) -> None:
    train, _ = parts
    fitted, history = fitted_network(Settings(epochs=2, seed=3), parts, tmp_path)

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


def test_a_step_of_the_cnn_is_the_mean_of_keras_own_steps_on_both_halves(parts: Parts, tmp_path: Path) -> None:
    """Batch normalisation is computed by another kernel than Keras's, its running statistics included."""
    choices: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.01, "schedule": "constant", "weight_decay": None}
    choices |= dict.fromkeys(("dropout", "averaging", "label_smoothing", "rotation", "zoom", "shift"), 0.0)
    choices |= {"epochs": 1, "batch_size": 128}
    settings = Settings.for_network(network="cnn", seed=3, **choices)
    train = parts[0].take(np.arange(256))  # two steps: differences of rounding grow tenfold with each
    fitted, _ = fitted_network(settings, (train, parts[1]), tmp_path)

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


def test_a_last_batch_of_one_image_cannot_be_halved_and_is_left_out(parts: Parts, tmp_path: Path) -> None:
    settings = Settings.for_network(network="cnn", batch_size=8, epochs=1)
    fitted, history = fitted_network(settings, (parts[0].take(np.arange(17)), parts[1]), tmp_path)
    assert all(np.isfinite(weights).all() for weights in fitted.get_weights())
    assert history[0]["accuracy"] * 16 == pytest.approx(round(history[0]["accuracy"] * 16))
    with pytest.raises(DataError, match="needs at least 2 training images, not 1"):
        fitted_network(settings, (parts[0].take(np.arange(1)), parts[1]), tmp_path / "one")


def test_regularisers_count_as_they_do_in_keras(parts: Parts, tmp_path: Path) -> None:
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


def test_with_averaging_the_weights_are_the_running_average(parts: Parts, tmp_path: Path) -> None:
    train = parts[0].take(np.arange(60))
    fitted, _ = fitted_network(Settings(epochs=1, averaging=0.5, seed=3), (train, parts[1]), tmp_path)

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
