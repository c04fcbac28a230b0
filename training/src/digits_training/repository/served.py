"""Which version a server would serve: the pinned one, or the newest good one."""

import os
import stat
from pathlib import Path

from google.protobuf import json_format

from digits.v1.manifest_pb2 import Pin
from digits_training.repository import manifest, publish

PIN_FILE = "pin.json"
"""A file beside the versions: the pinned version, the canary and the shadow. `digits-server models` writes it."""

MAX_PIN_BYTES = 4096


class PinError(ValueError):
    """pin.json is not valid, so the served version is unknown."""


def served_version(model_folder: Path) -> int | None:
    """The version that a server started now would serve to requests that name no version; None if no version is valid.

    The pinned version, or else the newest valid one that is neither canary nor shadow. If the pinned version is not
    valid, the one before it. Raises PinError.
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

    It is opened once, without following a link or waiting for a named pipe.
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
