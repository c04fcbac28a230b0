"""Configurations of Keras models, and what an attacker writes into them."""

import json
from typing import Any

from digits_training.untrusted.configuration import plain_configuration
from support.models.keras_files import OBJECTS

Config = dict[str, Any]


ATTACKS: list[Any] = [
    *(attack for attack in OBJECTS if attack.get("class_name") not in {"__numpy__", "__keras_tensor__"}),
    {"class_name": "QuantizedDTypePolicy", "module": "keras", "config": {"mode": "int8", "source_name": "float32"}},
    "deserialize",
    "../../etc/passwd",
]
"""What Keras would make an object of, or call, at some place or other of a configuration."""


def dense(**config: Any) -> Config:
    return {"class_name": "Dense", "module": "keras.layers", "config": {"name": "dense", "units": 10, **config}}


def sequential(*layers: Config, **config: Any) -> Config:
    first = {"class_name": "InputLayer", "module": "keras.layers", "config": {"name": "i", "batch_shape": [None, 784]}}
    return {
        "class_name": "Sequential",
        "module": "keras",
        "config": {"name": "s", "layers": [first, *layers], **config},
    }


def functional(node: Any = None, **layer: Any) -> Config:
    """A model of one Dense layer, called as `node` says."""
    called = [[["i", 0, 0, {}]]] if node is None else [node]
    first = sequential()["config"]["layers"][0] | {"name": "i", "inbound_nodes": []}
    layers = [first, dense() | {"name": "dense", "inbound_nodes": called} | layer]
    ends = {"input_layers": [["i", 0, 0]], "output_layers": [["dense", 0, 0]]}
    return {"class_name": "Functional", "module": "keras", "config": {"name": "f", "layers": layers, **ends}}


def written(model: Config, keras_version: str = "3.0") -> Config:
    return plain_configuration(json.dumps(model), keras_version)


def layers_of(model: Config) -> list[Config]:
    return [layer["config"] for layer in model["config"]["layers"]]


def keys_of(node: Any) -> set[str]:
    if isinstance(node, dict):
        return set(node).union(*map(keys_of, node.values()))
    return set().union(*map(keys_of, node)) if isinstance(node, list) else set()


def mentions(node: Any, value: Any) -> bool:
    return json.dumps(value) in json.dumps(node)


def tensor(name: str) -> Config:
    return {"class_name": "__keras_tensor__", "config": {"shape": [1], "dtype": "x", "keras_history": [name, 0, 0]}}
