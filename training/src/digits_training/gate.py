"""The gate: which models are not good enough to be published."""

import os
import stat
from pathlib import Path

from google.protobuf import json_format

from digits.v1.manifest_pb2 import Pin
from digits_training import manifest, publish
from digits_training.data import LabelledImages
from digits_training.evaluation.figures import Evaluation, evaluate
from digits_training.export import litert_probabilities
from digits_training.settings import Settings

PIN_FILE = "pin.json"
"""Beside the versions: which one is pinned, and which are tried out. `digits-server models` writes it."""

MAX_PIN_BYTES = 4096


class PinError(ValueError):
    """pin.json cannot be used, so it is not known which version serves."""


def objections(candidate: Evaluation, model_folder: Path, test: LabelledImages, settings: Settings) -> list[str]:
    """What speaks against publishing, one sentence with the numbers each; empty if nothing does.

    The candidate is held against `--min-accuracy`, and against the served model by `--max-regression`, overall and
    label by label. The figures of the served model are computed anew on the same test set.
    """
    found = []
    if candidate.accuracy < settings.min_accuracy:
        found.append(f"test accuracy {candidate.accuracy:.4f} is below --min-accuracy {settings.min_accuracy:g}")

    try:
        version = served_version(model_folder)
    except PinError as error:
        return [*found, f"{error}, so it is not known which version serves"]
    if version is None:
        return found
    served_model = model_folder / str(version) / "model.tflite"
    served = evaluate(litert_probabilities(served_model, test.images), test.labels)
    falls = [("test accuracy", served.accuracy, candidate.accuracy)]
    falls += [
        (f"recall of {name}", float(before), float(after))
        for name, before, after in zip(settings.labels, served.recall, candidate.recall, strict=True)
    ]
    found += [
        f"{what} fell from {before:.4f} (version {version}) to {after:.4f}, more than --max-regression "
        f"{settings.max_regression:g}"
        for what, before, after in falls
        if before - after > settings.max_regression
    ]
    return found


def served_version(model_folder: Path) -> int | None:
    """The version that a server started now would serve to requests that name no version; None if no version is good.

    The pinned version, or else the newest sound one that is neither canary nor shadow. For a pinned version that is
    not sound, one before it. Raises PinError.
    """
    stated = _stated(model_folder)
    tried_out = {stated.canary_version, stated.shadow_version} - {stated.version}
    for version in reversed(publish.versions(model_folder)):
        allowed = version not in tried_out and (not stated.version or version <= stated.version)
        if allowed and _is_sound(model_folder / str(version)):
            return version
    canary = stated.canary_version
    return canary if canary and not stated.version and _is_sound(model_folder / str(canary)) else None


def _is_sound(folder: Path) -> bool:
    """Whether its model.tflite is the one that its manifest lists."""
    try:
        listed = {file.path: file.sha256 for file in manifest.read(folder).files}
        return listed.get("model.tflite") == manifest.model_file(folder / "model.tflite", folder).sha256
    except (OSError, json_format.ParseError):
        return False


def _stated(model_folder: Path) -> Pin:
    """What pin.json says; nothing if there is no file. Raises PinError.

    It is opened once, through no link and without waiting for a named pipe.
    """
    try:
        descriptor = os.open(model_folder / PIN_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Pin()
    except OSError as error:
        raise PinError(f"{PIN_FILE} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PinError(f"{PIN_FILE} is not valid: expected a regular file")
        content = file.read(MAX_PIN_BYTES + 1)
    try:
        if len(content) > MAX_PIN_BYTES:
            raise PinError(f"{PIN_FILE} is not valid: expected at most {MAX_PIN_BYTES} bytes")
        return json_format.Parse(content, Pin())
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise PinError(f"{PIN_FILE} is not valid: expected digits.v1.Pin as JSON") from error
