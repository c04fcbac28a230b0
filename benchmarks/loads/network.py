"""The published network in NumPy: what a peer computes, and what every answer is held against.

The weights come out of the published `model.keras`, so all servers compute the same function. Triton's Python has no
h5py, so an .npz file carries the weights from one to the other.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PIXELS = 784
MAX_BATCH_SIZE = 1024


class Network:
    """Dense layers with ReLU between them and softmax at the end, on pixels scaled to 0…1."""

    def __init__(self, arrays: list[NDArray[np.float32]]) -> None:
        """Takes kernel, bias, kernel, bias, …, first layer first."""
        self.layers = list(zip(arrays[::2], arrays[1::2], strict=True))

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The probabilities of uint8[N, …] with 784 pixels each: float32[N, 10]."""
        values = images.reshape(len(images), PIXELS).astype(np.float32)
        values *= np.float32(1 / 255)
        for kernel, bias in self.layers[:-1]:
            values = values @ kernel
            values += bias
            np.maximum(values, 0, out=values)
        kernel, bias = self.layers[-1]
        values = values @ kernel
        values += bias
        values -= values.max(axis=1, keepdims=True)
        np.exp(values, out=values)
        values /= values.sum(axis=1, keepdims=True)
        return values

    def save(self, path: Path) -> None:
        np.savez(path, *[array for layer in self.layers for array in layer])

    @classmethod
    def load(cls, path: Path) -> Network:
        with np.load(path) as file:
            return cls([file[name] for name in file.files])


def from_keras(path: Path) -> Network:
    """Reads the weights of a multilayer perceptron out of a `.keras` file, without TensorFlow."""
    import h5py  # here, because Triton's Python imports this module too, and has none

    with zipfile.ZipFile(path) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights) as file:
        layers = file["layers"]
        names = [name for name in ("dense", *(f"dense_{i}" for i in range(1, len(layers)))) if name in layers]
        return Network([layers[name]["vars"][index][:].astype(np.float32) for name in names for index in ("0", "1")])
