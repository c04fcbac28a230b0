"""A model's configuration is written anew for Keras: what is on the list, whichever Keras wrote it."""

import inspect
import json
import random
from typing import Any

import pytest
from support.models.keras_files import OBJECTS, changed_config

from digits_training.errors import ModelFileError
from digits_training.settings import ACTIVATIONS
from digits_training.untrusted.configuration import plain_configuration
from digits_training.untrusted.layers import LAYERS, WITHOUT_EFFECT, WITHOUT_EFFECT_IN, WITHOUT_EFFECT_SUFFIXES

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


def _mentions(node: Any, value: Any) -> bool:
    return json.dumps(value) in json.dumps(node)


@pytest.mark.parametrize("value", ATTACKS, ids=lambda value: str(value)[:40])
def test_no_key_of_any_layer_takes_an_object(value: Any) -> None:
    unlisted = ("lora_rank", "quantization_config", "input_tensor", "renorm", "function", "layer")
    for layer, key in ((layer, key) for layer, keys in LAYERS.items() for key in (*keys, *unlisted)):
        if key == "name" and isinstance(value, str):
            continue
        node = {"class_name": layer, "module": "keras.layers", "config": {"name": "n", key: value}}
        with pytest.raises(ModelFileError, match=r"^refused: "):
            written(sequential(node))


@pytest.mark.parametrize("value", ATTACKS, ids=lambda value: str(value)[:40])
def test_objects_without_effect_on_the_answers_never_reach_keras(value: Any) -> None:
    for key in (
        *("kernel_initializer", "bias_initializer", "kernel_regularizer", "activity_regularizer", "bias_constraint"),
        *("seed", "noise_shape"),
    ):
        model = written(sequential(dense(**{key: value})))
        assert not _mentions(model, value)
        assert layers_of(model)[1] == {"name": "dense", "units": 10}


@pytest.mark.parametrize("value", ATTACKS, ids=lambda value: str(value)[:40])
def test_what_keras_does_with_a_layer_once_it_is_made_never_reaches_keras(value: Any) -> None:
    for key in ("build_config", "compile_config", "shared_object_id", "optimizer", "metrics"):
        nested = sequential(dense() | {key: value}) | {key: value}
        outer = sequential(nested) | {key: value}
        assert not _mentions(written(outer), value)
        assert not _mentions(written(functional(**{key: value}) | {key: value}), value)


def test_only_known_keys_reach_keras() -> None:
    model = written(functional() | {"registered_name": None, "__passive_serialization__": True, "anything": {}})
    assert keys_of(model) == {
        *("class_name", "module", "registered_name", "config", "name", "trainable", "layers", "inbound_nodes"),
        *("input_layers", "output_layers", "batch_shape", "units"),
    }


@pytest.mark.parametrize("value", ATTACKS, ids=lambda value: str(value)[:40])
def test_no_call_of_a_layer_takes_an_object(value: Any) -> None:
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [1], "dtype": "x", "keras_history": ["i", 0, 0]}}
    for node in (
        [["i", 0, 0, {"mask": value}]],
        [["i", 0, value]],
        [[value, 0, 0]] if not isinstance(value, str) else [[value]],
        {"args": [value], "kwargs": {}},
        {"args": [[tensor, value]], "kwargs": {}},
        {"args": [tensor], "kwargs": {"mask": value}},
        {"args": [tensor | {"config": {"keras_history": ["i", value, 0]}}], "kwargs": {}},
        value,
    ):
        with pytest.raises(ModelFileError, match=r"^refused: "):
            written(functional(node))


def test_a_layer_is_not_called_in_training_mode() -> None:
    with pytest.raises(ModelFileError, match="the layer 'dense' is called with training=True"):
        written(functional([["i", 0, 0, {"training": True}]]))
    model = written(functional([["i", 0, 0, {"training": False, "mask": None}]]))
    assert model["config"]["layers"][1]["inbound_nodes"] == [[["i", 0, 0]]]


def test_a_layer_on_which_no_output_depends() -> None:
    """Keras would give it its weights, though they count for nothing in the model's size."""
    model = functional()
    beside = json.loads(json.dumps(model["config"]["layers"][1]).replace('"dense"', '"beside"'))
    model["config"]["layers"].append(beside)
    with pytest.raises(ModelFileError, match="no output of the model depends on the layer 'beside'"):
        written(model)


def test_a_layer_that_is_connected_to_nothing() -> None:
    model = functional()
    model["config"]["layers"][1]["inbound_nodes"] = []
    with pytest.raises(ModelFileError, match="the layer 'dense' is connected to nothing"):
        written(model)


@pytest.mark.parametrize("dtype", ["int8_from_float32", "int4/128_from_float32", "float8_from_float32", "string"])
@pytest.mark.parametrize("policy", [False, True])
def test_types_of_number_that_change_what_a_layer_is(dtype: str, *, policy: bool) -> None:
    value: Any = {"class_name": "DTypePolicy", "module": "keras", "config": {"name": dtype}} if policy else dtype
    with pytest.raises(ModelFileError, match="numbers of plain types are taken"):
        written(sequential(dense(dtype=value)))


@pytest.mark.parametrize("name", ["\x1b]0;a title\x07", "two\nlines", "x" * 501, None, 1])
def test_names_that_nobody_should_print(name: Any) -> None:
    with pytest.raises(ModelFileError, match="where a name was expected"):
        written(sequential(dense(name=name)))


@pytest.mark.parametrize("number", [10**400, -(2**40)])
def test_numbers_that_no_layer_has(number: int) -> None:
    with pytest.raises(ModelFileError, match="number that is too large"):
        written(sequential(dense(units=number)))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"class_name": "Sequential"}', '{"class_name": ["Sequential"]}', "1"])
def test_text_that_is_no_configuration(text: str) -> None:
    with pytest.raises(ModelFileError, match=r"^refused: "):
        plain_configuration(text)


def test_models_inside_models_without_end() -> None:
    model = sequential(dense())
    for _ in range(30):
        model = sequential(model)
    with pytest.raises(ModelFileError, match="nested too deeply"):
        written(model)


def test_the_list_names_every_argument_of_every_layer_of_this_keras() -> None:
    """A release of Keras with a new argument is noticed here, before anybody thinks it cannot do harm."""
    from digits_training.networks import backend

    backend.start(seed=0)
    import keras

    refused = {
        "Dense": {"lora_rank", "lora_alpha", "quantization_config"},
        "BatchNormalization": {"renorm", "renorm_clipping"},
        "InputLayer": {"shape", "batch_size", "sparse", "ragged", "input_tensor", "optional"},
    }
    for name, keys in LAYERS.items():
        arguments = set(inspect.signature(getattr(keras.layers, name).__init__).parameters) - {"self", "kwargs"}
        unknown = {
            argument
            for argument in arguments
            - keys
            - WITHOUT_EFFECT
            - WITHOUT_EFFECT_IN.get(name, set())
            - refused.get(name, set())
            if not argument.endswith(WITHOUT_EFFECT_SUFFIXES)
        }
        assert not unknown, name
        assert keys - {"name", "trainable", "dtype"} <= arguments, name


def _tensor(name: str) -> Config:
    return {"class_name": "__keras_tensor__", "config": {"shape": [1], "dtype": "x", "keras_history": [name, 0, 0]}}


GOOD: list[Config] = [
    sequential(dense(), sequential(dense(activation={"class_name": "function", "config": "relu"}))),
    functional({"args": [_tensor("i")], "kwargs": {"mask": None}}, build_config={"input_shape": [None, 784]}),
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
