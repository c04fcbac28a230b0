"""A model that Keras built from a rewritten configuration: its size, and the layers left out of it."""

import copy
import math
from typing import Any

from digits_training.untrusted.configuration import Config
from digits_training.untrusted.layers import IDENTITY
from digits_training.untrusted.limits import MAX_FEATURES, MAX_PARAMETERS, require

LEAVE_SIZE = "leave it out, or pad with ZeroPadding2D"


def build(config: Config) -> Any:
    """The keras.Model of a configuration, with fresh weights."""
    import keras

    model_class = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
    return model_class.from_config(copy.deepcopy(config["config"]))  # a copy, because Keras empties it


def check(network: Any) -> None:
    """Raises ModelFileError if a keras.Model is too large, or if one of its layers gives images another size.

    The model may have been built without memory for its weights.
    """
    import keras

    layers = layers_of(network)
    for layer in layers:
        if isinstance(layer, keras.layers.Resizing):
            given, made = (" × ".join(map(str, tensor.shape[1:])) for tensor in (layer.input, layer.output))
            require(given == made, f"the layer {layer.name!r} resizes {given} to {made}: {LEAVE_SIZE}")
    outputs = [output for layer in layers for output in keras.tree.flatten(layer.output)]
    largest = max(math.prod(length or 1 for length in output.shape) for output in outputs)
    parameters = network.count_params()
    require(
        parameters <= MAX_PARAMETERS and largest <= MAX_FEATURES,
        f"{parameters:,} parameters and layers of up to {largest:,} values an image; "
        f"up to {MAX_PARAMETERS:,} and {MAX_FEATURES:,} are taken",
    )


def layers_of(network: Any) -> list[Any]:
    """The layers of a model and of the models inside it."""
    return [
        inner for layer in network.layers for inner in (layer, *(layers_of(layer) if hasattr(layer, "layers") else ()))
    ]


def without_resizing(network: Any, config: Config) -> Any:
    """`network`, of this configuration, without its Resizing layers, which `check` found to have no effect."""
    import keras

    if not any(isinstance(layer, keras.layers.Resizing) for layer in layers_of(network)):
        return network
    return rebuilt(network, config)


def rebuilt(network: Any, config: Config) -> Any:
    """A model of this configuration without its Resizing layers, with the weights of `network`."""
    made = build(_without_resizing(config))
    copy_weights(network, made)
    return made


def copy_weights(network: Any, other: Any) -> None:
    """Gives `other`, which has the same layers with weights, the weights of `network`."""
    other.set_weights(network.get_weights())
    for layer in layers_of(other):
        if hasattr(layer, "finalize_state"):  # Normalization computes with a copy of its weights
            layer.finalize_state()


def _without_resizing(node: Config) -> Config:
    """The configuration of a model or layer, with an identity layer instead of each Resizing."""
    config = node["config"]
    if "layers" in config:
        return node | {"config": config | {"layers": [_without_resizing(layer) for layer in config["layers"]]}}
    if node["class_name"] != "Resizing":
        return node
    kept = {key: value for key, value in config.items() if key in {"name", "trainable", "dtype"}}
    return node | {"class_name": "Rescaling", "config": kept | IDENTITY}
