"""A model's configuration is rewritten for Keras with only what is on the list, for files of every version of Keras."""

import inspect
import json
from typing import Any

import pytest
from support.training.configurations import (
    ATTACKS,
    dense,
    functional,
    keys_of,
    layers_of,
    mentions,
    sequential,
    written,
)

from digits_training.errors import ModelFileError
from digits_training.untrusted.configuration import plain_configuration
from digits_training.untrusted.layers import LAYERS, WITHOUT_EFFECT, WITHOUT_EFFECT_IN, WITHOUT_EFFECT_SUFFIXES


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
        assert not mentions(model, value)
        assert layers_of(model)[1] == {"name": "dense", "units": 10}


@pytest.mark.parametrize("value", ATTACKS, ids=lambda value: str(value)[:40])
def test_what_keras_does_with_a_layer_once_it_is_made_never_reaches_keras(value: Any) -> None:
    for key in ("build_config", "compile_config", "shared_object_id", "optimizer", "metrics"):
        nested = sequential(dense() | {key: value}) | {key: value}
        outer = sequential(nested) | {key: value}
        assert not mentions(written(outer), value)
        assert not mentions(written(functional(**{key: value}) | {key: value}), value)


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
    with pytest.raises(ModelFileError, match="only plain types of number can be imported"):
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
