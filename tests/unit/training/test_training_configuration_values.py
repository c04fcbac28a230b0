"""Values of a model's configuration: what Keras reads of each, and the exact sentence for what is refused."""

import json
from typing import Any

import pytest

from digits_training.errors import ModelFileError
from digits_training.untrusted.configuration import plain_configuration
from digits_training.untrusted.limits import MAX_INTEGER, MAX_LIST_DEPTH, MAX_NAME

Config = dict[str, Any]


def layer(class_name: str = "Dense", **config: Any) -> Config:
    return {"class_name": class_name, "config": {"name": "d"} | config}


def model(*layers: Config, **config: Any) -> Config:
    return {"class_name": "Sequential", "config": {"name": "s", "layers": list(layers)} | config}


def written(*layers: Config, version: str = "3.0") -> list[Config]:
    """The layers that Keras gets."""
    read = plain_configuration(json.dumps(model(*layers)), version)
    return [each["config"] for each in read["config"]["layers"]]


def refusal(*layers: Config, version: str = "3.0") -> str:
    with pytest.raises(ModelFileError) as caught:
        written(*layers, version=version)
    return str(caught.value)


@pytest.mark.parametrize("value", [True, False])
def test_whether_a_layer_is_trained_and_has_a_bias_reaches_keras(*, value: bool) -> None:
    assert written(layer(units=3, trainable=value, use_bias=value)) == [
        {"name": "d", "units": 3, "trainable": value, "use_bias": value}
    ]


def test_keys_that_say_nothing_are_left_out_whatever_they_are_called() -> None:
    values: list[Any] = [None, False, [], {}]
    for nothing in values:
        assert written(layer(units=3, anything=nothing)) == [{"name": "d", "units": 3}]
    assert "the layer Dense has a 'anything'" in refusal(layer(units=3, anything=1))


def test_the_shape_that_a_first_layer_takes_becomes_an_input_layer() -> None:
    assert written(layer(units=3, batch_input_shape=[None, 784]), version="2.3.0") == [
        {"batch_shape": [None, 784], "dtype": "float32", "name": "d_input"},
        {"name": "d", "units": 3},
    ]


@pytest.mark.parametrize("text", ["{}", "[]", "1", '{"class_name": "Dense", "config": {}}'])
def test_a_file_without_a_model_says_so(text: str) -> None:
    with pytest.raises(ModelFileError, match=r"^refused: the file does not hold a Keras model$"):
        plain_configuration(text)


def test_a_damaged_configuration_is_said_to_be_damaged_and_where() -> None:
    with pytest.raises(ModelFileError) as caught:
        plain_configuration(json.dumps({"class_name": "Sequential", "config": {"name": "s"}}))
    assert str(caught.value) == "refused: the model's configuration is damaged (KeyError: 'layers')"


def test_numbers_names_and_lists_end_at_their_limits() -> None:
    assert written(layer(units=MAX_INTEGER))[0]["units"] == MAX_INTEGER
    assert "number that is too large" in refusal(layer(units=MAX_INTEGER + 1))
    assert "number that is too large" in refusal(layer(units=-MAX_INTEGER - 1))
    assert written(layer(name="n" * MAX_NAME))[0]["name"] == "n" * MAX_NAME
    assert "where a name was expected" in refusal(layer(name="n" * (MAX_NAME + 1)))
    value: Any = 1
    for _ in range(MAX_LIST_DEPTH):
        value = [value]
    assert written(layer(units=value))[0]["units"] == value
    assert "nested too deeply" in refusal(layer(units=[value]))


def test_a_type_of_number_may_stand_in_a_policy_and_in_no_other_object() -> None:
    assert written(layer(dtype={"class_name": "Policy", "config": {"name": "float32"}}))[0]["dtype"] == "float32"
    assert refusal(layer(dtype={"class_name": "Other", "config": {"name": "float32"}})) == (
        "refused: a type of number is 'Other'"
    )


@pytest.mark.parametrize("calls", [1, 2])
def test_a_resizing_is_called_once(calls: int) -> None:
    first = layer("InputLayer", batch_shape=[None, 28, 28, 1]) | {"name": "i", "inbound_nodes": []}
    first["config"]["name"] = "i"
    resizing = layer("Resizing", height=28, width=28) | {"name": "d", "inbound_nodes": [[["i", 0, 0, {}]]] * calls}
    ends = {"input_layers": [["i", 0, 0]], "output_layers": [["d", 0, 0]]}
    text = json.dumps({"class_name": "Functional", "config": {"name": "f", "layers": [first, resizing], **ends}})
    if calls == 1:
        assert plain_configuration(text)["config"]["layers"][1]["inbound_nodes"] == [[["i", 0, 0]]]
        return
    with pytest.raises(ModelFileError, match=r"^refused: the layer 'd' is a Resizing that is called more than once$"):
        plain_configuration(text)
