"""What the manifest of a version must say, before anything else of the version is read. No files here."""

import json
import math
import re
from collections.abc import Iterator

from google.protobuf import json_format

from digits.v1.manifest_pb2 import Manifest
from digits_server.errors import ModelRejected

FILE_NAME = "manifest.json"

SCHEMA_VERSION = 1
"""The manifest schema this server reads."""

MAX_MANIFEST_BYTES = 512 * 1024
"""Largest manifest; the training job writes 33 kB. Each answer of GetModel contains all of it."""

MAX_FILES = 100
"""Most files of one version; the training job writes about ten."""

MAX_NETWORK_CHARACTERS = 100
"""Longest name of a network, which is a label of `digits_model_info`."""

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def parse(content: bytes) -> Manifest:
    """The manifest in these bytes: digits.v1.Manifest as JSON. Raises ModelRejected."""
    try:
        # An unknown field may belong to a later schema, so the schema's number is checked first.
        fields = json.loads(content, parse_float=_finite, parse_constant=_finite)
        _check_texts(fields)
        newer = isinstance(fields, dict) and fields.get("schemaVersion") != SCHEMA_VERSION
        return json_format.ParseDict(fields, Manifest(), ignore_unknown_fields=newer)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelRejected(
            "manifest", "manifest.json is not a valid manifest: expected digits.v1.Manifest as JSON"
        ) from error


def check(manifest: Manifest, *, name: str, version: int, max_bytes: int) -> None:
    """Raises ModelRejected unless the manifest describes `version` of the model `name`, as this server can serve it.

    max_bytes  bounds the size of one version, all files together
    """
    expected: dict[str, tuple[object, object]] = {
        "schemaVersion": (SCHEMA_VERSION, manifest.schema_version),
        "modelName": (name, manifest.model_name),
        "modelVersion": (version, manifest.model_version),
        "input.dtype": ("uint8", manifest.input.dtype),
        "input.shape": ([28, 28], list(manifest.input.shape)),
        "the number of labels": (10, len(manifest.labels)),
    }
    for field, (wanted, found) in expected.items():
        if wanted != found:
            raise ModelRejected("manifest", f"manifest.json: expected {field} {wanted}, found {found}")
    if not manifest.golden_images:
        raise ModelRejected("manifest", "manifest.json has no golden images to verify the model with")
    if any(len(item.image) != 784 or len(item.probabilities) != 10 for item in manifest.golden_images):
        raise ModelRejected("manifest", "manifest.json: a golden image must have 784 bytes and 10 probabilities")
    if manifest.HasField("unlike") and len(manifest.unlike.golden_distances) != 10 * len(manifest.golden_images):
        raise ModelRejected("manifest", "manifest.json: unlike must have 10 golden distances for each golden image")
    if len(manifest.training.network) > MAX_NETWORK_CHARACTERS:
        raise ModelRejected("manifest", f"manifest.json: a network's name has at most {MAX_NETWORK_CHARACTERS} letters")
    if len(manifest.files) > MAX_FILES:
        raise ModelRejected("manifest", f"manifest.json lists {len(manifest.files)} files; at most {MAX_FILES}")
    total = sum(item.size_bytes for item in manifest.files)
    if any(item.size_bytes < 0 for item in manifest.files) or total > max_bytes:
        raise ModelRejected("size", f"the files have {total} bytes; at most {max_bytes} (max_model_bytes)")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return value


def _check_texts(fields: object) -> None:
    """Raises ModelRejected for a text with control characters, or for a number that is not finite."""
    for text in _texts(fields):
        if _CONTROL_CHARACTER.search(text):
            raise ModelRejected("manifest", "manifest.json has a control character in a text")
        if text in ("NaN", "Infinity", "-Infinity"):
            raise ModelRejected("manifest", "manifest.json has a number that is not finite")


def _texts(fields: object) -> Iterator[str]:
    """Every text in a JSON value, names of fields included."""
    if isinstance(fields, str):
        yield fields
    elif isinstance(fields, dict):
        for name, value in fields.items():
            yield name
            yield from _texts(value)
    elif isinstance(fields, list):
        for value in fields:
            yield from _texts(value)
