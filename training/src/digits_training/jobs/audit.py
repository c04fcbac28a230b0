"""Computes the figures of a published version again, and compares them with its manifest."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from google.protobuf import json_format

from digits.v1.manifest_pb2 import Manifest, Metrics
from digits_training import data
from digits_training.conversion import litert, unlike
from digits_training.errors import MismatchError
from digits_training.evaluation.figures import accuracy, cross_entropy, evaluate
from digits_training.importing import loading
from digits_training.networks import backend
from digits_training.networks.predictions import probabilities_of
from digits_training.repository import manifest
from digits_training.repository.recorded import recorded_reading, verified_manifest
from digits_training.settings import Settings

TOLERANCE = 1e-5  # of every figure; counts must agree exactly


def audit(version: int, settings: Settings, say: Callable[[str], None]) -> None:
    """Recomputes every figure of `version` from its stored models and the data it names.

    Prints each figure, recorded and recomputed. Raises MismatchError, which names what differs.
    """
    folder = settings.model_folder / str(version)
    recorded = verified_manifest(version, settings)
    recomputed = _recompute(recorded, folder, settings)

    differing = []
    for name, before, after in _figures(recorded.metrics, recomputed):
        agrees = abs(before - after) <= (0 if isinstance(before, int) else TOLERANCE)
        say(f"{name:32} recorded {before:<12.6g} recomputed {after:<12.6g} {'' if agrees else 'DIFFERS'}".rstrip())
        differing += [] if agrees else [f"{name} is {after:.6g}, not {before:.6g}"]
    if differing:
        raise MismatchError(f"version {version} differs from its manifest: {'; '.join(differing)}")
    say(f"version {version} agrees with its manifest")


def _recompute(recorded: Manifest, folder: Path, settings: Settings) -> Metrics:
    hyperparameters = json_format.MessageToDict(recorded.training.hyperparameters)
    if list(data.files_at(settings.data, tuple(recorded.labels))) != list(recorded.training.data):
        names = ", ".join(file.name for file in recorded.training.data)
        raise MismatchError(f"the data are not those the version was made with: {names}; name these with --data")
    dataset = data.read(settings.data, recorded_reading(recorded))

    backend.start(seed=0, network=recorded.training.network)
    network = loading.load(folder / "model.keras")
    probabilities = litert.litert_probabilities(folder / "model.tflite", dataset.test.images)
    difference = litert.prove_parity(probabilities_of(network, dataset.test.images), probabilities)
    recomputed = manifest.metrics_on_test_set(evaluate(probabilities, dataset.test.labels), difference)
    if recorded.training.validation_images:
        share, seed = hyperparameters["validation_share"], int(hyperparameters["seed"])
        _, validation = data.split(dataset.train, share, seed)
        answers = probabilities_of(network, validation.images)
        recomputed.validation_accuracy = accuracy(answers, validation.labels)
        recomputed.validation_loss = cross_entropy(answers, validation.labels)

    images = np.array([np.frombuffer(golden.image, np.uint8) for golden in recorded.golden_images])
    scores = litert.litert_probabilities(folder / "model.tflite", images.reshape(-1, data.SIDE, data.SIDE))
    golden = np.array([golden.probabilities for golden in recorded.golden_images], np.float32)
    largest = float(np.abs(scores - golden).max())
    if not largest <= recorded.golden_tolerance:
        raise MismatchError(f"the golden images get other scores: they differ by up to {largest:.1e}")
    if recorded.HasField("unlike"):
        share, found = recorded.unlike.refused_share, unlike.refused_share(folder, dataset.test.images)
        if abs(share - found) > unlike.TOLERANCE:
            raise MismatchError(f"{unlike.FILE_NAME} refuses {found:.2%} of the test images, not {share:.2%}")
    return recomputed


def _figures(recorded: Metrics, recomputed: Metrics) -> Iterator[tuple[str, float, float]]:
    """Every number of the metrics: its name, the recorded value, the recomputed value."""
    for field in Metrics.DESCRIPTOR.fields:
        before, after = getattr(recorded, field.name), getattr(recomputed, field.name)
        if field.name == "labels":
            for index, (left, right) in enumerate(zip(before, after, strict=True)):
                yield f"precision of label {index}", left.precision, right.precision
                yield f"recall of label {index}", left.recall, right.recall
        elif field.name == "confusion_matrix":
            moved = sum(abs(left - right) for left, right in zip(before, after, strict=True))
            yield "confusion_matrix (moved images)", 0, moved
        else:
            yield field.name, before, after
