"""Whatever is changed in a configuration, only what is on the list reaches Keras."""

import json
import random
from typing import Any

import pytest
from support.models.keras_files import changed_config
from support.training.configurations import Config, dense, functional, sequential, tensor, written

from digits_training.errors import ModelFileError
from digits_training.settings import ACTIVATIONS
from digits_training.untrusted.configuration import plain_configuration
from digits_training.untrusted.layers import LAYERS

GOOD: list[Config] = [
    sequential(dense(), sequential(dense(activation={"class_name": "function", "config": "relu"}))),
    functional({"args": [tensor("i")], "kwargs": {"mask": None}}, build_config={"input_shape": [None, 784]}),
    sequential(
        {"class_name": "Rescaling", "module": "keras.layers", "config": {"name": "r", "scale": 0.5, "offset": 0.0}},
        dense(dtype={"class_name": "DTypePolicy", "module": "keras", "config": {"name": "float32"}}),
        {"class_name": "BatchNormalizationV1", "config": {"name": "b", "axis": [1], "fused": True}},
        {"class_name": "RandomRotation", "config": {"name": "a", "factor": 0.1, "fill_mode": "reflect", "seed": 3}},
        {"class_name": "Resizing", "config": {"name": "c", "height": 28, "width": 28, "interpolation": "nearest"}},
    ),
]


def _is_harmless(node: Any, key: str = "") -> bool:
    """Whether every word of it is one that this page expects at its place."""
    words = {
        "class_name": {*LAYERS, "Sequential", "Model"},
        "module": {"keras", "keras.layers"},
        "activation": set(ACTIVATIONS),
        "padding": {"same", "valid"},
        "data_format": {"channels_last", "channels_first"},
        "dtype": {"float16", "float32", "float64", "bfloat16", "uint8", "int8", "int16", "int32", "int64"},
    }
    if isinstance(node, dict):
        keys = {*("class_name", "module", "registered_name", "config", "name", "trainable", "layers", "inbound_nodes")}
        keys |= {"input_layers", "output_layers", "build_input_shape"}.union(*LAYERS.values())
        return set(node) <= keys and all(_is_harmless(value, name) for name, value in node.items())
    if isinstance(node, list):
        return all(_is_harmless(element, key) for element in node)
    named = key in {"name", "inbound_nodes", "input_layers", "output_layers"}
    return not isinstance(node, str) or named or node in words.get(key, set())


@pytest.mark.parametrize("good", GOOD, ids=["nested", "functional", "old"])
def test_whatever_is_changed_in_a_configuration_only_what_is_listed_reaches_keras(good: Config) -> None:
    taken = 0
    for seed in range(2_000):
        text = changed_config(json.dumps(good), random.Random(seed))
        try:
            model = plain_configuration(text, "2.0")
        except ModelFileError:
            continue
        taken += 1
        assert _is_harmless(model), text
        assert written(model) == model, text
    assert taken > 100
