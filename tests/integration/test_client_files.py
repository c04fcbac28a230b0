"""Files that cannot be read: one error is both the client's own and the operating system's."""

import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from support.client.both import Connect
from support.client.scripted import ScriptedServer
from support.pictures.pixels import IMAGE

from digits_client import (
    Client,
    FileForbidden,
    FileIsDirectory,
    FileNotFound,
    InvalidInput,
    UnreadableFile,
)
from digits_client._errors import unreadable
from digits_client._limits import SHOWN_CHARACTERS

CALLS: dict[str, Callable[[Client, str], object]] = {
    "predict": lambda client, path: client.predict(path),
    "predict_batch": lambda client, path: client.predict_batch([IMAGE, Path(path)]),
    "predict_iter": lambda client, path: list(client.predict_iter([IMAGE, path])),
    "predict_stream": lambda client, path: list(client.predict_stream([IMAGE, path])),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize(
    ("name", "kind", "builtin", "number"),
    [
        ("absent.png", FileNotFound, FileNotFoundError, errno.ENOENT),
        ("folder", FileIsDirectory, IsADirectoryError, errno.EISDIR),
        ("file/below.png", UnreadableFile, OSError, errno.ENOTDIR),
        ("n" * 300, UnreadableFile, OSError, errno.ENAMETOOLONG),
    ],
    ids=["absent", "directory", "below a file", "long name"],
)
def test_a_file_that_cannot_be_read_is_named_by_an_error_of_both_kinds(
    *,
    connect: Connect,
    script: ScriptedServer,
    tmp_path: Path,
    call: Callable[[Client, str], object],
    name: str,
    kind: type[UnreadableFile],
    builtin: type[OSError],
    number: int,
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    path = str(tmp_path / name)
    with pytest.raises(kind) as caught:
        call(connect(script.target), path)
    error = caught.value
    assert isinstance(error, builtin)
    assert isinstance(error, InvalidInput)
    assert (error.errno, error.strerror, error.filename) == (number, os.strerror(number), path)
    assert str(error).startswith(f"cannot read {path[:SHOWN_CHARACTERS]}")
    assert isinstance(error.__cause__, OSError)
    assert error.failed == (None if call is CALLS["predict"] else range(1, 2))


def test_a_file_without_permission_is_a_permission_error() -> None:
    """The error is made here: tests may run as root, and root may read everything."""
    cause = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "secret.png")
    error = unreadable(cause, Path("secret.png"))
    assert isinstance(error, FileForbidden)
    assert isinstance(error, PermissionError)
    assert str(error) == "cannot read secret.png: Permission denied"


@pytest.mark.parametrize("kind", [FileNotFound, FileForbidden, FileIsDirectory, UnreadableFile])
def test_errors_of_files_survive_pickling(kind: type[UnreadableFile]) -> None:
    """As between the processes of a pool."""
    error = kind(errno.ENOENT, "No such file or directory", "absent.png")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # made a moment ago
    assert type(again) is kind
    assert (str(again), again.errno, again.filename) == (str(error), error.errno, error.filename)
