"""Good versions that are distinguished by their answers: version N answers every image with the digit N % 10."""

import base64
import json
import shutil
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from support.models.repositories import edit_manifest, replace_file

LEAST_CONFIDENCE = 0.99
"""Of every answer of such a version."""


def publish(source: Path, target: Path, version: int) -> Path:
    """Publishes a good version made from `source`'s version 1 as the training job does: complete, by a rename.

    It answers every image with `version % 10`. Returns its folder.
    """
    models = target / "digits"
    models.mkdir(parents=True, exist_ok=True)
    incoming = models / f".incoming-{version}"
    shutil.copytree(source / "digits" / "1", incoming)
    biased(incoming, version % 10)
    edit_manifest(incoming, lambda manifest: manifest.update(modelVersion=str(version)))
    return incoming.rename(models / str(version))


def biased(folder: Path, digit: int) -> None:
    """Changes the version in `folder` into one that always answers `digit`, with a matching manifest."""
    model = folder.joinpath("model.tflite").read_bytes()
    bias = _last_bias(model)
    changed = bias.copy()
    changed[digit] += 100
    replace_file(folder, "model.tflite", model.replace(bias.tobytes(), changed.tobytes(), 1))
    rescore(folder)


def rescore(folder: Path) -> None:
    """Gives the golden images the scores that the model in `folder` computes."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    golden = manifest["goldenImages"]
    pixels = b"".join(base64.b64decode(item["image"]) for item in golden)
    interpreter = Interpreter(model_content=folder.joinpath("model.tflite").read_bytes())
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, [len(golden), 28, 28])
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28))
    interpreter.invoke()
    scores = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    for item, row in zip(golden, scores.tolist(), strict=True):
        item["probabilities"] = row
    path.write_text(json.dumps(manifest))


def _last_bias(model: bytes) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The ten biases of the last layer: the only constant of ten floats."""
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    places = [item for item in interpreter.get_tensor_details() if list(item["shape"]) == [10]]
    bias: np.ndarray[tuple[int], np.dtype[np.float32]] = interpreter.get_tensor(places[0]["index"])
    return bias
