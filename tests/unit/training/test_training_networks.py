"""The networks take raw pixels and have the shape their settings say."""

import numpy as np
import pytest

from digits_training.networks import backend
from digits_training.networks.built_in import build_network, trained_parameters
from digits_training.settings import Settings


@pytest.fixture(autouse=True)
def _tensorflow() -> None:
    backend.start(seed=0)


def test_the_reference_network_has_16_330_parameters() -> None:
    network = build_network(Settings())
    assert network.count_params() == 784 * 20 + 20 + 20 * 20 + 20 + 20 * 10 + 10 == 16_330
    assert [type(layer).__name__ for layer in network.layers[1:]] == ["Rescaling", "Flatten", "Dense", "Dense", "Dense"]
    assert [layer.activation.__name__ for layer in network.layers[3:]] == ["relu", "relu", "softmax"]


def test_raw_pixels_go_in_and_probabilities_come_out() -> None:
    network = build_network(Settings())
    assert (network.input_shape, network.inputs[0].dtype) == ((None, 28, 28), "uint8")
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    probabilities = np.asarray(network(images))
    assert probabilities.shape == (5, 10)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-6)


def test_scaling_is_a_layer_of_the_model() -> None:
    network = build_network(Settings())
    scaled = network.layers[1](np.full((1, 28, 28), 255, np.uint8))
    assert np.asarray(scaled).max() == pytest.approx(1.0)


def test_hidden_sizes_and_activation_are_settings() -> None:
    network = build_network(Settings(hidden_sizes=(64, 32, 16), activation="sigmoid"))
    assert [layer.units for layer in network.layers[3:]] == [64, 32, 16, 10]
    assert {layer.activation.__name__ for layer in network.layers[3:-1]} == {"sigmoid"}


def test_the_fast_cnn_has_its_shape() -> None:
    network = build_network(Settings.for_network(network="cnn"))
    assert (network.input_shape, network.output_shape) == ((None, 28, 28), (None, 10))
    kept_by_batch_norm = 2 * (16 + 32 + 64 + 64)
    assert (
        trained_parameters(network)
        == network.count_params() - kept_by_batch_norm
        == 16 * 9 + 16 * 32 * 9 + 32 * 64 * 9 + 64 * 64 * 9 + kept_by_batch_norm + 49 * 64 * 10 + 10
    )
    assert trained_parameters(network) == 91_770


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_the_step_function_is_0_below_0_and_1_above(name: str) -> None:
    network = build_network(Settings.for_network(network=name, activation="step"))
    relu = next(layer for layer in network.layers if type(layer).__name__ == "ReLU")
    steep = network.layers[network.layers.index(relu) - 1]
    values = np.array([[-1e9, -2.0, -1e-9, 0.0, 1e-9, 0.5, 1e9]], np.float32)
    assert np.asarray(relu(steep(values))).tolist() == [[0, 0, 0, 0, 1, 1, 1]]


def test_the_large_cnn_has_its_shape_and_its_activation() -> None:
    network = build_network(Settings.for_network(network="cnn-large", activation="gelu"))
    assert (network.input_shape, network.output_shape) == ((None, 28, 28), (None, 10))
    kept_by_batch_norm = 2 * (24 + 48 + 64 + 96 + 128)
    assert trained_parameters(network) == network.count_params() - kept_by_batch_norm == 206_514
    assert {layer.activation.__name__ for layer in network.layers if type(layer).__name__ == "Activation"} == {"gelu"}
