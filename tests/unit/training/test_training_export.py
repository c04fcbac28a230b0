"""The converted model is proved equal before anything trusts it."""

from pathlib import Path

import numpy as np
import pytest

from digits_training.conversion import litert
from digits_training.data import DataSet
from digits_training.errors import ParityError
from digits_training.networks import backend
from digits_training.networks.built_in import build_network
from digits_training.networks.predictions import probabilities_of
from digits_training.settings import Settings


@pytest.mark.parametrize(
    "settings",
    [Settings(hidden_sizes=(7,), activation="tanh"), Settings.for_network(network="cnn")],
    ids=["mlp", "cnn"],
)
def test_a_converted_network_answers_like_the_original(settings: Settings, tmp_path: Path, small: DataSet) -> None:
    backend.start(seed=1)
    network = build_network(settings)
    litert.convert(network, tmp_path / "model.tflite")
    original = probabilities_of(network, small.test.images)
    converted = litert.litert_probabilities(tmp_path / "model.tflite", small.test.images)
    assert converted.shape == (1000, 10)
    assert litert.prove_parity(original, converted) < 1e-5


def test_conversion_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    backend.start(seed=1)
    litert.convert(build_network(Settings()), tmp_path / "model.tflite")
    litert.litert_probabilities(tmp_path / "model.tflite", np.zeros((1, 28, 28), np.uint8))
    assert capfd.readouterr() == ("", "")


def test_another_answer_on_one_image_is_refused() -> None:
    first = np.full((100, 10), 0.1, np.float32)
    first[:, 3] += 1e-5
    second = first.copy()
    second[42, 4] += 2e-5
    with pytest.raises(ParityError, match="other answers on 1 of 100 images"):
        litert.prove_parity(first, second)


@pytest.mark.parametrize("value", [0.5002, float("nan")])
def test_a_probability_that_differs_is_refused(value: float) -> None:
    first = np.tile(np.array([0.5, *[0.5 / 9] * 9], np.float32), (3, 1))
    second = first.copy()
    second[1, 0] = value
    with pytest.raises(ParityError, match="differs from the Keras model"):
        litert.prove_parity(first, second)
