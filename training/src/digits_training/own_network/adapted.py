"""Checks what the user's function returned, and adapts it: raw pixels in, probabilities out."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from digits_training.data import LabelledImages
from digits_training.errors import ModelFileError, NetworkError
from digits_training.importing import adapting
from digits_training.own_network.source import Source
from digits_training.untrusted import built
from digits_training.untrusted.configuration import Config, plain_configuration

LAYERS_PAGE = "docs/keras-users.md lists the layers that can be served"
SAMPLE = 100  # training images that tell logits from probabilities
_INPUT_TYPES = ("float32", "uint8")
_SCALING = ("Rescaling", "Normalization", "BatchNormalization", "LayerNormalization", "GroupNormalization")


def network_of(source: Source, training: LabelledImages, say: Callable[[str], None]) -> Any:
    """The network that the function of `source` returns, adapted. Raises NetworkError."""
    returned = source.build()
    network = adapted(returned, source.name, training.take(np.arange(min(SAMPLE, len(training)))))
    for sentence in advice(returned):
        say(f"warning: {source.name}: {sentence}")
    return network


def adapted(network: Any, name: str, sample: LabelledImages) -> Any:
    """A keras.Model: uint8[N, 28, 28], 0 to 255 → float32[N, 10], each row summing to 1; with `network` as a layer.

    Raises NetworkError, naming the function `name`, unless `network` is a plain model of 28 × 28 pixels and ten outputs
    that can be exported and served.
    """
    try:
        return _adapted(network, sample)
    except ModelFileError as error:
        raise NetworkError(f"{name}: {str(error).removeprefix('refused: ')}") from error
    except ValueError as error:
        raise NetworkError(f"{name}: Keras refuses the model: {' '.join(str(error).split())[:300]}") from error


def advice(network: Any) -> list[str]:
    """Sentences about possible mistakes of the author; `network` is what their function returned."""
    found = []
    if not any(type(layer).__name__ in _SCALING for layer in built.layers_of(network)):
        found.append(
            "the network gets pixels from 0 to 255 and does not scale them: "
            "begin it with keras.layers.Rescaling(1 / 255)"
        )
    if network.compiled:
        found.append(
            "the arguments of compile() are not used: set --optimizer and --learning-rate; "
            "the loss is the cross-entropy"
        )
    return found


def served(network: Any) -> Any:
    """The same model with the same weights, without augmentation and regularisers, which act only in training."""
    return built.rebuilt(network, _configuration(network))


def _adapted(network: Any, sample: LabelledImages) -> Any:
    import keras

    kind = f"{type(network).__module__.split('.')[0]}.{type(network).__name__}"
    if not isinstance(network, keras.Model):
        raise ModelFileError(f"returned {kind}, not a keras.Model")
    if type(network).__name__ not in {"Functional", "Sequential"} or not kind.startswith("keras."):
        raise ModelFileError(
            f"returned a subclass, {kind}: expected keras.Sequential(…) or keras.Model(inputs, outputs)"
        )
    if not network.built or not getattr(network, "inputs", None):
        raise ModelFileError("the model does not say what input it takes: begin it with keras.Input((28, 28, 1))")
    adapting.check_ends(network)
    (given,) = network.inputs
    if given.shape[0] is not None:
        raise ModelFileError(f"the model takes batches of {given.shape[0]} images only: leave out the batch size")
    if given.dtype not in _INPUT_TYPES:
        raise ModelFileError(f"the model takes {given.dtype}, not {' or '.join(_INPUT_TYPES)}")
    _configuration(network)
    built.check(network)
    if not network.trainable_weights:
        raise ModelFileError("the model has no weights to train")
    floats = network if given.dtype == "float32" else _of_floats(network)
    return adapting.of_raw_pixels(floats, 1.0, sample, name="own_network")


def _of_floats(network: Any) -> Any:
    """The same model of float32 pixels, with the same weights."""
    import keras

    inputs = keras.Input(network.inputs[0].shape[1:], dtype="float32")
    made = keras.models.clone_model(network, input_tensors=inputs)
    built.copy_weights(network, made)
    return made


def _configuration(network: Any) -> Config:
    """The configuration, rewritten from the layers that can be imported. Raises ModelFileError."""
    import keras

    try:
        text = json.dumps(keras.saving.serialize_keras_object(network))
    except (TypeError, ValueError, NotImplementedError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"Keras cannot save the model: {' '.join(str(error).split())[:200]}") from error
    try:
        return plain_configuration(text)
    except ModelFileError as error:
        raise ModelFileError(f"{error} ({LAYERS_PAGE})") from error
