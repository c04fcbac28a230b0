"""The file pin.json of a model: which version must answer, and which versions are tried out.

It is replaced by a rename, so that a reader finds either the whole old file or the whole new one. A command
that changes it holds a lock on the model's folder, so that no change is lost.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from google.protobuf import json_format

from digits.v1.manifest_pb2 import Pin
from digits_server.errors import OperatorError, RepositoryError
from digits_server.models.rollout import StatedRollout
from digits_server.setting_types import Canary
from digits_server.system.regular_files import NotRegular, opened_folder, read_regular

FILE_NAME = "pin.json"
MAX_BYTES = 4096

LOCK_SECONDS = 30.0
"""How long a command waits for another command that changes the repository."""

LOOK_SECONDS = 0.05
"""Time between two attempts to get the lock."""

_UNFINISHED = ".pin-"


class PinFile:
    """The file `pin.json` in a model's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE_NAME

    def read(self) -> StatedRollout:
        """The content of the file; an empty rollout if there is no file.

        Raises RepositoryError if the file is not valid.
        """
        pin = self._parsed()
        return StatedRollout() if pin is None else _checked(pin)

    def _parsed(self) -> Pin | None:
        try:
            with opened_folder(self._folder) as folder:
                content = read_regular(FILE_NAME, MAX_BYTES, within=folder)
            return json_format.Parse(content, Pin())
        except FileNotFoundError:
            return None
        except NotRegular as error:
            raise _invalid(f"expected a regular file, found {error.kind}") from error
        except OSError as error:
            raise RepositoryError(f"{FILE_NAME} cannot be read: {error.strerror}") from error
        except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
            raise _invalid("expected digits.v1.Pin as JSON") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While this context lasts, no other command changes the file.

        Raises OperatorError after LOCK_SECONDS, or OSError.
        """
        end = monotonic() + LOCK_SECONDS
        with opened_folder(self._folder) as folder:
            while True:
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if monotonic() > end:
                        raise OperatorError("another command is changing the repository: try again later") from None
                    sleep(LOOK_SECONDS)
                else:
                    break
            yield

    def write(self, stated: StatedRollout) -> None:
        """Replaces the file durably, or removes it if it would be empty. Call it within `locked`. Raises OSError."""
        for unfinished in self._folder.glob(f"{_UNFINISHED}*"):  # its command was killed
            unfinished.unlink(missing_ok=True)
        if stated == StatedRollout():
            self._path.unlink(missing_ok=True)
        else:
            self._replace(json_format.MessageToJson(_message(stated, self._parsed() or Pin())) + "\n")
        with opened_folder(self._folder) as folder:
            os.fsync(folder)

    def _replace(self, content: str) -> None:
        descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=self._folder)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(content)
                file.flush()
                os.fchmod(descriptor, 0o644)  # mkstemp makes the file private, but the server may run as another user
                os.fsync(descriptor)
            Path(name).rename(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _message(stated: StatedRollout, before: Pin) -> Pin:
    """The file's content. A version that was already pinned `before` keeps the time of its pin."""
    pin = Pin(version=stated.pinned, shadow_version=stated.shadow)
    if stated.canary:
        pin.canary_version, pin.canary_share = stated.canary.version, stated.canary.share
    if stated.pinned and stated.pinned == before.version:
        pin.pinned_at.CopyFrom(before.pinned_at)
    elif stated.pinned:
        pin.pinned_at.GetCurrentTime()
    return pin


def _checked(pin: Pin) -> StatedRollout:
    """Raises RepositoryError unless the values are possible."""
    canary = Canary(pin.canary_version, pin.canary_share) if pin.HasField("canary_version") else None
    shadow = pin.shadow_version if pin.HasField("shadow_version") else None
    for name, version in (("version", pin.version), ("canaryVersion", pin.canary_version), ("shadowVersion", shadow)):
        if version and version < 0:
            raise _invalid(f"expected a positive {name}, found {version}")
    if not pin.version and canary is None and shadow is None:
        raise _invalid("expected a positive version, found 0")
    if pin.canary_version and not 0 < pin.canary_share <= 1:
        raise _invalid(f"expected a canaryShare above 0 and at most 1, found {pin.canary_share:g}")
    if pin.canary_share and not pin.canary_version:
        raise _invalid("expected a canaryVersion beside canaryShare")
    return StatedRollout(pinned=pin.version, canary=canary, shadow=shadow)


def _invalid(why: str) -> RepositoryError:
    return RepositoryError(f"{FILE_NAME} is not valid: {why}; correct it, or remove it")
