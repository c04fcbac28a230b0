"""A model somebody already has, made into one of ours: raw pixels in, ten probabilities out.

It may take 28 × 28, 784 or 28 × 28 × 1 numbers, from 0 to 1 or from 0 to 255, and end in probabilities or in logits.
"""

import hashlib
import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from digits.v1.manifest_pb2 import ModelFile
from digits_training import saved_model, untrusted
from digits_training.backend import quiet
from digits_training.data import LABELS, SIDE, LabelledImages
from digits_training.errors import ModelFileError
from digits_training.evaluate import cross_entropy
from digits_training.fit import probabilities_of

MAX_PARAMETERS = 50_000_000
MAX_FEATURES = 4_000_000  # values of one layer for one image
SAMPLE = 2000  # training images that tell which range of pixels a model wants
_INPUT_SHAPES = ((SIDE, SIDE), (SIDE * SIDE,), (SIDE, SIDE, 1))
_SCALES = {"0-1": 1 / 255, "0-255": 1.0}


def load(path: Path) -> Any:
    """The keras.Model in a .keras or .h5 file or a SavedModel folder, after every check. Raises ModelFileError."""
    if path.is_dir():
        rebuilt = saved_model.rebuild(path)
        _check_size(rebuilt)
        return rebuilt
    if path.suffix not in {".keras", ".h5", ".hdf5"}:
        raise ModelFileError(f"{path.name} is neither a .keras nor an .h5 file nor a SavedModel folder")
    content = untrusted.read_bounded(path)
    check = untrusted.check_keras_file if path.suffix == ".keras" else untrusted.check_h5_file
    config = check(content)
    try:
        # Keras has advice for who wrote the file: nothing for who imports it.
        with tempfile.TemporaryDirectory() as folder, quiet(), warnings.catch_warnings(action="ignore"):
            import keras

            _probe(config)
            copy = Path(folder) / f"model{path.suffix}"  # what was checked, whatever becomes of the original
            copy.write_bytes(content)
            return keras.models.load_model(copy, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RuntimeError) as error:
        raise ModelFileError(f"Keras cannot load {path.name}: {_first_line(error)}") from error


def identity(path: Path) -> ModelFile:
    """Name, checksum and size of the file; of a SavedModel, of its saved_model.pb."""
    file = path / "saved_model.pb" if path.is_dir() else path
    content = file.read_bytes()
    return ModelFile(path=path.name, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def adapt(imported: Any, sample: LabelledImages, pixel_range: str) -> tuple[Any, str]:
    """A keras.Model of raw pixels, uint8[N, 28, 28] → probabilities float32[N, 10], and the pixel range it was given.

    With `pixel_range` "auto" both ranges are tried on `sample`, and the one with the lower cross-entropy is taken.
    Raises ModelFileError when the model does not take 28 × 28 numbers or does not give ten.
    """
    given, returned = _only(imported.inputs, "input"), _only(imported.outputs, "output")
    if tuple(given.shape[1:]) not in _INPUT_SHAPES:
        raise ModelFileError(f"the model takes {list(given.shape[1:])}, not [28, 28], [784] or [28, 28, 1]")
    if tuple(returned.shape[1:]) != (LABELS,):
        raise ModelFileError(f"the model returns {list(returned.shape[1:])}, not [{LABELS}]")

    ranges = list(_SCALES) if pixel_range == "auto" else [pixel_range]
    candidates = {name: _of_raw_pixels(imported, _SCALES[name], sample) for name in ranges}
    losses = {
        name: cross_entropy(probabilities_of(network, sample.images), sample.labels)
        for name, network in candidates.items()
    }
    best = min(losses, key=lambda name: losses[name])
    return candidates[best], best


def _of_raw_pixels(imported: Any, scale: float, sample: LabelledImages) -> Any:
    import keras

    inputs = keras.Input((SIDE, SIDE), dtype="uint8", name="images")
    scaled = keras.layers.Rescaling(scale)(inputs)
    outputs = imported(keras.layers.Reshape(imported.inputs[0].shape[1:])(scaled))
    network = keras.Model(inputs, outputs, name="imported")
    scores = probabilities_of(network, sample.images)
    if not np.isfinite(scores).all():
        raise ModelFileError("the model returns values that are not finite numbers")
    if scores.min() < 0 or not np.allclose(scores.sum(axis=1), 1, atol=1e-3):  # logits
        network = keras.Model(inputs, keras.layers.Softmax(name="probabilities")(outputs), name="imported")
    return network


def _probe(config: dict[str, Any]) -> None:
    """Builds the model without memory for its weights, to see how much it would take."""
    import keras

    try:
        with keras.StatelessScope(initialize_variables=False):
            model_class = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
            _check_size(model_class.from_config(config["config"]))
    finally:
        keras.utils.clear_session()


def _check_size(network: Any) -> None:
    from keras import tree

    parameters = network.count_params()
    outputs = [output for layer in network.layers for output in tree.flatten(layer.output)]
    largest = max(math.prod(length or 1 for length in output.shape) for output in outputs)
    if parameters > MAX_PARAMETERS or largest > MAX_FEATURES:
        raise ModelFileError(
            f"refused: {parameters:,} parameters and layers of up to {largest:,} values an image; "
            f"up to {MAX_PARAMETERS:,} and {MAX_FEATURES:,} are taken"
        )


def _only(tensors: Any, what: str) -> Any:
    if len(tensors) != 1:
        raise ModelFileError(f"the model has {len(tensors)} {what}s; one is needed")
    return tensors[0]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
