"""Files of Keras 2 and of TensorFlow 1, in the layout that they are published in."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[Any]]


def write_h5(path: Path, config: dict[str, Any], weights: dict[str, Weights], *, version: str) -> Path:
    """`config` and, by the name of each layer, its weights by their names, as this version of Keras wrote them."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version.encode()
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(config).encode()
        optimizer = {"class_name": "Adam", "config": {"lr": 0.001, "beta_1": 0.9, "decay": 0.0, "epsilon": None}}
        training = {"loss": "a_loss_of_ones_own", "metrics": ["acc"], "optimizer_config": optimizer}
        file.attrs["training_config"] = json.dumps(training).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights]
        group.attrs["keras_version"] = version.encode()
        for layer, values in weights.items():
            names = [f"{layer}/{name}:0" for name in values]
            of_layer = group.create_group(layer)
            of_layer.attrs["weight_names"] = np.array([name.encode() for name in names]) if names else []
            for name, value in zip(names, values.values(), strict=True):
                of_layer.create_dataset(name, data=value)
    return path
