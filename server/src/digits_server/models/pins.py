"""The pin of a model: one small file in the repository that says which version must answer.

It is replaced by a rename, so that a reader finds either the whole old pin or the whole new one.
"""

import os
import tempfile
from pathlib import Path

from google.protobuf import json_format

from digits.v1.manifest_pb2 import Pin
from digits_server.errors import RepositoryError
from digits_server.system.regular_files import opened_folder, read_regular

FILE_NAME = "pin.json"
MAX_BYTES = 4096


class PinFile:
    """The file `pin.json` in a model's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def read(self) -> int:
        """The version pinned, 0 if none. Raises RepositoryError when the file is no pin."""
        try:
            with opened_folder(self._path.parent) as folder:
                content = read_regular(FILE_NAME, MAX_BYTES, within=folder)
            pin = json_format.Parse(content, Pin())
        except FileNotFoundError:
            return 0
        except (OSError, json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
            raise RepositoryError(f"{FILE_NAME} is no pin: expected digits.v1.Pin as JSON") from error
        if pin.version < 1:
            raise RepositoryError(f"{FILE_NAME} is no pin: expected a positive version, found {pin.version}")
        return pin.version

    def write(self, version: int) -> None:
        """Pins `version`, durably. Raises OSError."""
        pin = Pin(version=version)
        pin.pinned_at.GetCurrentTime()
        descriptor, name = tempfile.mkstemp(prefix=".pin-", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(json_format.MessageToJson(pin) + "\n")
                file.flush()
                os.fsync(descriptor)
                os.fchmod(descriptor, 0o644)  # mkstemp makes it private; the server may be another user
            Path(name).rename(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._sync_folder()

    def remove(self) -> None:
        """Unpins, durably. Raises OSError."""
        self._path.unlink(missing_ok=True)
        self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
