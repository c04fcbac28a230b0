"""manifest.json: what a published version is, how it was made, and how good it is."""

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
from google.protobuf import json_format
from numpy.typing import NDArray

from digits.v1.manifest_pb2 import GoldenImage, LabelMetrics, Manifest, Metrics, ModelFile, ModelInput, Training
from digits_training.data import LABELS, SIDE, LabelledImages
from digits_training.evaluation.figures import Evaluation
from digits_training.repository import signing
from digits_training.settings import MODEL_NAME

SCHEMA_VERSION = 1
GOLDEN_TOLERANCE = 1e-4
GOLDEN_PER_LABEL = 2
_FILE_NAME = "manifest.json"


def write(manifest: Manifest, folder: Path) -> None:
    """Writes `manifest` into the version's folder, and adds the list of the files in the folder."""
    complete = Manifest()
    complete.CopyFrom(manifest)
    paths = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name not in (_FILE_NAME, signing.FILE_NAME)
    )
    complete.files.extend(model_file(path, folder) for path in paths)
    text = json_format.MessageToJson(complete, indent=2, always_print_fields_with_no_presence=True)
    (folder / _FILE_NAME).write_text(text + "\n", encoding="utf-8")


def describe(
    labels: tuple[str, ...], made: Training, figures: Evaluation, difference: float, golden: list[GoldenImage]
) -> Manifest:
    """A manifest without version, time and files, which are only known when it is published."""
    return Manifest(
        schema_version=SCHEMA_VERSION,
        model_name=MODEL_NAME,
        input=ModelInput(dtype="uint8", shape=[SIDE, SIDE], background=0, ink=255),
        labels=labels,
        framework_versions=framework_versions(),
        training=made,
        metrics=metrics_on_test_set(figures, difference),
        golden_images=golden,
        golden_tolerance=GOLDEN_TOLERANCE,
    )


def read(folder: Path) -> Manifest:
    """The manifest of a published version. Raises OSError or json_format.ParseError."""
    return json_format.Parse((folder / _FILE_NAME).read_text(encoding="utf-8"), Manifest())


def model_file(path: Path, folder: Path) -> ModelFile:
    content = path.read_bytes()
    return ModelFile(
        path=path.relative_to(folder).as_posix(), sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
    )


def framework_versions() -> dict[str, str]:
    """Versions of the packages that decide a model's weights, by name."""
    import keras
    import tensorflow as tf

    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "ai-edge-litert": version("ai-edge-litert"),
        "digits-training": version("digits-training"),
    }


def metrics_on_test_set(evaluation: Evaluation, max_difference: float) -> Metrics:
    """The metrics on the test set."""
    images = evaluation.confusion.sum(axis=1)
    return Metrics(
        test_accuracy=evaluation.accuracy,
        test_loss=evaluation.loss,
        test_images=evaluation.images,
        labels=[
            LabelMetrics(precision=precision, recall=recall, images=int(count))
            for precision, recall, count in zip(evaluation.precision, evaluation.recall, images, strict=True)
        ],
        confusion_matrix=evaluation.confusion.ravel().tolist(),
        expected_calibration_error=evaluation.calibration_error,
        conversion_max_difference=max_difference,
    )


def golden_images(test: LabelledImages, probabilities: NDArray[np.float32]) -> list[GoldenImage]:
    """The first images of each label with the scores model.tflite gave them (float32[N, 10], of the test set)."""
    chosen = np.concatenate([np.flatnonzero(test.labels == label)[:GOLDEN_PER_LABEL] for label in range(LABELS)])
    return [
        GoldenImage(image=test.images[index].tobytes(), probabilities=probabilities[index].tolist())
        for index in chosen.tolist()
    ]
