"""The manifest of a published version, after its files were verified."""

from pathlib import Path

from google.protobuf import json_format

from digits.v1.manifest_pb2 import Manifest
from digits_training import data
from digits_training.errors import MismatchError
from digits_training.repository import manifest
from digits_training.settings import Settings


def verified_manifest(version: int, settings: Settings) -> Manifest:
    """The manifest of `version`, after every file was compared with its checksum. Raises MismatchError."""
    folder = settings.model_folder / str(version)
    try:
        recorded = manifest.read(folder)
    except FileNotFoundError as error:
        raise MismatchError(f"there is no version {version} in {settings.model_folder}") from error
    except (UnicodeDecodeError, json_format.ParseError) as error:
        raise MismatchError(f"manifest.json of version {version} is damaged") from error
    _check_files(recorded, folder)
    return recorded


def recorded_reading(recorded: Manifest) -> data.Reading:
    """How the data were read when the version was made."""
    hyperparameters = json_format.MessageToDict(recorded.training.hyperparameters)
    return data.Reading(
        transpose=bool(hyperparameters.get("transpose", False)),
        invert=bool(hyperparameters.get("invert", False)),
        test_share=hyperparameters.get("test_share") or None,
        seed=int(hyperparameters.get("seed", 0)),
        labels=tuple(recorded.labels),
    )


def _check_files(recorded: Manifest, folder: Path) -> None:
    for listed in recorded.files:
        path = folder / listed.path
        if not path.is_file() or manifest.model_file(path, folder) != listed:
            raise MismatchError(f"{listed.path} is missing or differs from its checksum in the manifest")
