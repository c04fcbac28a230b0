"""Scores any number of images with the compiled model, on as many cores and machines as Ray has.

    score.py MODEL INPUT OUTPUT

MODEL   a published version, such as models/digits/1; only the machine that starts the job needs it
INPUT   Parquet, a file or a folder, with a column "pixels": 784 bytes an image, row-major, 0 background … 255 ink
OUTPUT  folder of Parquet: the other columns of INPUT, with digit (uint8), confidence (float32), model_version (int64)

Ray runs on this machine unless RAY_ADDRESS names a cluster.
"""

import argparse
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would call home

import numpy as np
import ray
from ai_edge_litert.interpreter import Interpreter

IMAGES_PER_CALL = 256
"""Images the model sees at once; beyond it the cost of an image stays level."""

IMAGES_PER_BATCH = 8192
"""Images handed to an actor at once: 6.4 MB of pixels."""


def read_model(version: Path) -> tuple[bytes, int]:
    """The compiled model and the version's number. Raises SystemExit when the file is not the published one."""
    manifest = json.loads((version / "manifest.json").read_text())
    model = (version / "model.tflite").read_bytes()
    expected = next(each["sha256"] for each in manifest["files"] if each["path"] == "model.tflite")
    if hashlib.sha256(model).hexdigest() != expected:
        raise SystemExit("model.tflite is not what the manifest says was published")
    return model, int(manifest["modelVersion"])


class Scorer:
    """An interpreter of its own for each actor; it is not thread-safe."""

    def __init__(self, model: bytes, version: int) -> None:
        self._version = version
        self._interpreter = Interpreter(model_content=model, num_threads=1)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._interpreter.resize_tensor_input(self._input, [IMAGES_PER_CALL, 28, 28], strict=True)
        self._interpreter.allocate_tensors()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Columns in, columns out; "pixels" is replaced by what they show."""
        images = np.frombuffer(b"".join(batch.pop("pixels")), np.uint8).reshape(-1, 28, 28)
        pieces = range(0, len(images), IMAGES_PER_CALL)
        probabilities = np.concatenate([self._predict(images[start : start + IMAGES_PER_CALL]) for start in pieces])
        return batch | {
            "digit": probabilities.argmax(axis=1).astype(np.uint8),
            "confidence": probabilities.max(axis=1),
            "model_version": np.full(len(images), self._version, np.int64),
        }

    def _predict(self, images: Any) -> Any:
        """uint8[N ≤ 256, 28, 28] → float32[N, 10]."""
        padded = np.zeros((IMAGES_PER_CALL, 28, 28), np.uint8)
        padded[: len(images)] = images
        self._interpreter.set_tensor(self._input, padded)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)[: len(images)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Score images in bulk with the compiled model.")
    parser.add_argument("model", type=Path)
    parser.add_argument("input")
    parser.add_argument("output")
    chosen = parser.parse_args()
    model = read_model(chosen.model)
    ray.init(include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    cores = max(1, int(ray.cluster_resources()["CPU"]) - 1)  # one is left to read and write
    images = ray.data.read_parquet(chosen.input)
    begin = time.perf_counter()
    images.map_batches(
        Scorer,
        fn_constructor_args=model,
        batch_size=IMAGES_PER_BATCH,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=cores),
        num_cpus=1,
    ).write_parquet(chosen.output)
    seconds = time.perf_counter() - begin
    print(f"scored {images.count():,} images in {seconds:.1f} s")


if __name__ == "__main__":
    main()
