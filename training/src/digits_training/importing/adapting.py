"""A model from elsewhere as one of ours: raw pixels in, ten probabilities out.

It may take 28 × 28, 784 or 28 × 28 × 1 numbers, from 0 to 1 or from 0 to 255, and return probabilities or logits.
"""

from typing import Any

import numpy as np

from digits_training.data import LABELS, SIDE, LabelledImages
from digits_training.errors import ModelFileError
from digits_training.evaluation.figures import cross_entropy
from digits_training.networks.predictions import probabilities_of

SAMPLE = 2000  # training images that tell which range of pixels a model expects
_INPUT_SHAPES = ((SIDE, SIDE), (SIDE * SIDE,), (SIDE, SIDE, 1))
_SCALES = {"0-1": 1 / 255, "0-255": 1.0}


def adapt(imported: Any, sample: LabelledImages, pixel_range: str) -> tuple[Any, str]:
    """A keras.Model of raw pixels, uint8[N, 28, 28] → probabilities float32[N, 10], and the pixel range it was given.

    With `pixel_range` "auto", both ranges are tried on `sample`, and the one with the lower cross-entropy is used.
    Raises ModelFileError if the model does not take 28 × 28 numbers or does not return ten.
    """
    check_ends(imported)
    ranges = list(_SCALES) if pixel_range == "auto" else [pixel_range]
    candidates = {name: of_raw_pixels(imported, _SCALES[name], sample) for name in ranges}
    losses = {
        name: cross_entropy(probabilities_of(network, sample.images), sample.labels)
        for name, network in candidates.items()
    }
    best = min(losses, key=lambda name: losses[name])
    return candidates[best], best


def check_ends(model: Any) -> None:
    """Raises ModelFileError unless a keras.Model takes 28 × 28 numbers in one of three shapes, and returns ten."""
    given, returned = _only(model.inputs, "input"), _only(model.outputs, "output")
    if tuple(given.shape[1:]) not in _INPUT_SHAPES:
        raise ModelFileError(f"the model takes {list(given.shape[1:])}, not [28, 28], [784] or [28, 28, 1]")
    if tuple(returned.shape[1:]) != (LABELS,):
        raise ModelFileError(f"the model returns {list(returned.shape[1:])}, not [{LABELS}]")


def of_raw_pixels(model: Any, scale: float, sample: LabelledImages, name: str = "imported") -> Any:
    """A keras.Model of raw pixels with `model` as a layer, which gets the pixels multiplied by `scale`.

    It returns probabilities: if `model` returns other numbers for the images of `sample`, they are treated as logits.
    """
    import keras

    inputs = keras.Input((SIDE, SIDE), dtype="uint8", name="images")
    scaled = keras.layers.Rescaling(scale)(inputs)
    outputs = model(keras.layers.Reshape(model.inputs[0].shape[1:])(scaled))
    network = keras.Model(inputs, outputs, name=name)
    scores = probabilities_of(network, sample.images)
    if not np.isfinite(scores).all():
        raise ModelFileError("the model returns values that are not finite numbers")
    if scores.min() < 0 or not np.allclose(scores.sum(axis=1), 1, atol=1e-3):  # logits
        network = keras.Model(inputs, keras.layers.Softmax(name="probabilities")(outputs), name=name)
    return network


def _only(tensors: Any, what: str) -> Any:
    if len(tensors) != 1:
        raise ModelFileError(f"the model has {len(tensors)} {what}s; expected one")
    return tensors[0]
