"""The configuration of a model, rewritten: only layers and keys that are on the list, only plain values.

Keras creates an object for every class that a configuration names, at any depth. The rewritten configuration only
names layers, activations and types of number.
"""

import json
from collections.abc import Callable
from typing import Any

from digits_training.errors import ModelFileError
from digits_training.settings import ACTIVATIONS
from digits_training.untrusted.calls import calls, tensors, without_effect
from digits_training.untrusted.layers import (
    CHANGE_IMAGES,
    CHANGED_ACTIVATIONS,
    IDENTITY,
    LAYERS,
    NOTHING_AT_INFERENCE,
    OLD_ACTIVATIONS,
    OLD_CLASSES,
    OLD_DEFAULTS,
    OLD_KEYS,
    WITHOUT_EFFECT,
    WITHOUT_EFFECT_IN,
    WITHOUT_EFFECT_SUFFIXES,
)
from digits_training.untrusted.limits import (
    MAX_CONFIG_BYTES,
    MAX_INTEGER,
    MAX_LIST_DEPTH,
    MAX_MODEL_DEPTH,
    MAX_NAME,
    require,
)

Config = dict[str, Any]

_FUNCTIONAL = frozenset({"Functional", "Model"})
_MODELS = _FUNCTIONAL | {"Sequential"}
_MODULES = ("keras", "tensorflow.keras", "tensorflow.python.keras", "tf_keras")
_FUNCTION_MODULES = frozenset({None, "builtins", "keras.activations"})
_TYPES = frozenset({"float16", "float32", "float64", "bfloat16", "uint8", "int8", "int16", "int32", "int64"})
_ACTIVATION_LAYERS = ["ReLU", "LeakyReLU", "ELU", "Softmax"]
_PADDINGS = frozenset({"valid", "same"})
_DATA_FORMATS = frozenset({"channels_last", "channels_first"})


def plain_configuration(text: str | bytes, keras_version: str = "3") -> Config:
    """The model's configuration for Keras 3, from that of a file which this version of Keras wrote.

    Raises ModelFileError if the file names anything that is not on the list.
    """
    require(len(text) <= MAX_CONFIG_BYTES, f"the configuration is {len(text):,} bytes long")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError("refused: the model's configuration is not valid JSON") from error
    is_model = isinstance(config, dict) and config.get("class_name") in list(_MODELS)
    require(is_model, "the file does not hold a Keras model")
    try:
        return _Reader(old=keras_version[:2] in {"1.", "2."}).model(config)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelFileError(
            f"refused: the model's configuration is damaged ({type(error).__name__}: {str(error)[:100]})"
        ) from error


class _Reader:
    """Reads one configuration; `old` if Keras 2 or TensorFlow 1 wrote it."""

    def __init__(self, *, old: bool) -> None:
        self._old = old
        self._values: dict[str, Callable[[Any], Any]] = {
            "name": _name,
            "trainable": _truth,
            "dtype": _type,
            "activation": self._activation,
            "padding": lambda value: _word(value, _PADDINGS),
            "data_format": lambda value: _word(value, _DATA_FORMATS),
        }

    def model(self, node: Config, depth: int = 0) -> Config:
        require(depth <= MAX_MODEL_DEPTH, "the configuration is nested too deeply")
        class_name, config = node["class_name"], node["config"]
        if isinstance(config, list):  # as Keras wrote a Sequential model until 2.2
            config = {"name": "sequential", "layers": config}
        made: Config = {"name": _name(config["name"]), "trainable": _truth(config.get("trainable", True))}
        _type(config.get("dtype"))
        if class_name == "Sequential":
            layers = [self._layer(layer, depth) for layer in config["layers"]]
            made["layers"] = _with_input(config["layers"], layers)
            if config.get("build_input_shape"):
                made["build_input_shape"] = _plain(config["build_input_shape"])
            del made["trainable"]  # a key that Keras's Sequential does not read
            return {"class_name": "Sequential", "module": "keras", "registered_name": None, "config": made}
        made["layers"] = [self._connected(layer, depth) for layer in config["layers"]]
        made |= {key: tensors(config[key]) for key in ("input_layers", "output_layers")}
        calls_of = {layer["name"]: layer["inbound_nodes"] for layer in made["layers"] if layer["inbound_nodes"]}
        unused = without_effect(calls_of, made["output_layers"])
        require(not unused, f"no output of the model depends on the layer {''.join(unused[:1])!r}")
        return {"class_name": "Model", "module": "keras", "registered_name": None, "config": made}

    def _connected(self, node: Config, depth: int) -> Config:
        """A layer of a functional model, with its calls."""
        layer = self._layer(node, depth)
        name = _name(node.get("name", layer["config"].get("name")))
        augments = _class_of(node) in NOTHING_AT_INFERENCE | {"Resizing"}
        layer |= {"name": name, "inbound_nodes": calls(node["inbound_nodes"], name, augments=augments)}
        connected = layer["inbound_nodes"] or layer["class_name"] == "InputLayer"
        require(bool(connected), f"the layer {name!r} is connected to nothing")
        once = layer["class_name"] != "Resizing" or len(layer["inbound_nodes"]) == 1
        require(once, f"the layer {name!r} is a Resizing that is called more than once")
        return layer

    def _layer(self, node: Config, depth: int) -> Config:
        class_name = _class_of(node)
        if class_name in _MODELS:
            return self.model(node, depth + 1)
        config = node["config"]
        if class_name in NOTHING_AT_INFERENCE:
            return self._identity(config)
        keys, made = LAYERS[class_name], {}
        for given, value in config.items():
            key = OLD_KEYS.get(class_name, {}).get(given, given)
            if key in keys:
                made[key] = self._values.get(key, _plain)(value)
            else:
                unread = key in WITHOUT_EFFECT_IN.get(class_name, ()) or _has_no_effect(key, value)
                require(unread, f"the layer {class_name} has a {key!r}, which cannot be imported")
        if class_name == "BatchNormalization" and isinstance(made.get("axis"), list):
            (made["axis"],) = made["axis"]
        return {"class_name": class_name, "module": "keras.layers", "registered_name": None, "config": made}

    def _identity(self, config: Config) -> Config:
        """The replacement of a layer that does nothing at inference. It casts to floats, as that layer does."""
        made = {key: self._values[key](config[key]) for key in ("name", "trainable", "dtype") if key in config}
        return {"class_name": "Rescaling", "module": "keras.layers", "registered_name": None, "config": made | IDENTITY}

    def _activation(self, value: Any) -> str | Config | None:
        """The name of a function, alone or in a dictionary, or a layer without weights."""
        if isinstance(value, dict) and value.get("class_name") in _ACTIVATION_LAYERS:
            return self._layer(value, depth=0)
        if isinstance(value, dict):
            require(value.get("class_name") == "function", f"an activation is {value.get('class_name')!r}")
            name, module, registered = value["config"], value.get("module"), value.get("registered_name")
            require(module in _FUNCTION_MODULES, f"the configuration asks for the module {module!r}")
            require(name in list(ACTIVATIONS), f"the configuration asks for the function {name!r}")
            require(registered in {None, name}, f"the configuration asks for the function {registered!r}")
            value = name
        if value is None:
            return None
        name = OLD_ACTIVATIONS.get(value, value)
        require(name in list(ACTIVATIONS), f"activation {name!r} is not one of Keras's own")
        changed = self._old and name in CHANGED_ACTIVATIONS
        require(not changed, f"activation {name!r} is another function in Keras 3 than in the Keras of the file")
        return str(name)


def _class_of(node: Config) -> str:
    """The class of a layer or model; a custom class of the same name is refused."""
    name, module, registered = node["class_name"], node.get("module"), node.get("registered_name")
    of_keras = module is None or str(module).split(".src")[0].startswith(_MODULES)
    require(of_keras, f"the configuration asks for the module {module!r}")
    changes = isinstance(name, str) and name in CHANGE_IMAGES
    require(not changes, f"the layer {name} also changes images at inference: leave it out")
    known = isinstance(name, str) and OLD_CLASSES.get(name, name) in LAYERS.keys() | _MODELS | NOTHING_AT_INFERENCE
    require(known, f"{name!r} is not among the layers that can be imported")
    require(registered in {None, name}, f"the configuration asks for {registered!r}, which is not Keras's own")
    return OLD_CLASSES.get(str(name), str(name))


def _with_input(given: list[Config], layers: list[Config]) -> list[Config]:
    """The layers of a sequential model behind an InputLayer, if its first layer says what shape it takes."""
    if not layers or layers[0]["class_name"] in {"InputLayer"} | _MODELS:
        return layers
    shape = given[0]["config"].get("batch_input_shape")
    if shape is None:
        return layers
    config = {"batch_shape": _plain(shape), "dtype": "float32", "name": f"{layers[0]['config']['name']}_input"}
    first = {"class_name": "InputLayer", "module": "keras.layers", "registered_name": None, "config": config}
    return [first, *layers]


def _has_no_effect(key: str, value: Any) -> bool:
    unused = value is None or value is False or value in ([], {})
    dropped = key in WITHOUT_EFFECT or key.endswith(WITHOUT_EFFECT_SUFFIXES) or key == "batch_input_shape"
    return unused or dropped or OLD_DEFAULTS.get(key) == value


def _plain(value: Any, depth: int = 0) -> Any:
    """A number, None, or lists of them."""
    if isinstance(value, dict):
        if value.get("class_name") == "__numpy__":
            return _plain(value["config"]["value"], depth)
        if value.get("class_name") == "__tuple__":
            return _plain(value["items"], depth)
    if isinstance(value, list):
        require(depth < MAX_LIST_DEPTH, "the configuration is nested too deeply")
        return [_plain(element, depth + 1) for element in value]
    require(value is None or isinstance(value, bool | int | float), f"{str(value)[:60]!r} where a number was expected")
    require(not isinstance(value, int) or abs(value) <= MAX_INTEGER, "the configuration has a number that is too large")
    return value


def _word(value: Any, words: frozenset[str]) -> Any:
    """One of these words, or a number, because some layers take either."""
    if not isinstance(value, str):
        return _plain(value)
    require(value in words, f"{value[:60]!r} is not one of {', '.join(sorted(words))}")
    return value


def _name(value: Any) -> str:
    plain = isinstance(value, str) and value.isprintable() and len(value) <= MAX_NAME  # it is printed on a terminal
    require(plain, f"{str(value)[:60]!r} where a name was expected")
    return str(value)


def _truth(value: Any) -> bool:
    require(isinstance(value, bool), f"{str(value)[:60]!r} where true or false was expected")
    return bool(value)


def _type(value: Any) -> str | None:
    """The name of a type of number, alone or in a dictionary."""
    if isinstance(value, dict):
        require(
            value.get("class_name") in {"DTypePolicy", "Policy"}, f"a type of number is {value.get('class_name')!r}"
        )
        value = value["config"]["name"]
    if value is None:
        return None
    name = str(value)
    mixed = name.startswith("mixed_")
    require(not mixed, f"the model computes in {name!r}; set its dtype policy to 'float32' and save it again")
    require(name in _TYPES, f"the model computes in {name!r}; only plain types of number can be imported")
    return name
