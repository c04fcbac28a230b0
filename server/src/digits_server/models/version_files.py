"""Reads the files of one version, and nothing outside its folder: no link is followed on the way to a file."""

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from digits.v1.manifest_pb2 import ModelFile
from digits_server.errors import ModelRejected
from digits_server.system.regular_files import (
    NotRegular,
    TooLarge,
    opened_below,
    opened_folder,
    opened_regular,
    read_regular,
)

PIECE_BYTES = 1024 * 1024
"""Bytes that are read at once of a file that is only compared with its manifest."""


def read_file(folder: Path, name: str, limit: int) -> bytes:
    """The content of a regular file below `folder`, of at most `limit` bytes. No link is followed.

    The file is opened once, from the descriptor of its folder: the checked file is the one that is read, even if
    another one takes its place meanwhile.
    """
    with _opened(folder, name, limit) as (place, file):
        return read_regular(file, limit, within=place)


def read_verified(folder: Path, item: ModelFile) -> bytes:
    """The content of a file. Raises ModelRejected unless it is what `item` says."""
    content = read_file(folder, item.path, item.size_bytes)
    _check_found(item, len(content), hashlib.sha256(content).hexdigest())
    return content


def check_file(folder: Path, item: ModelFile) -> None:
    """Reads a file in pieces, never as a whole. Raises ModelRejected unless it is what `item` says."""
    digest, size = hashlib.sha256(), 0
    with _opened(folder, item.path, item.size_bytes) as (place, name), opened_regular(name, within=place) as file:
        while piece := file.read(PIECE_BYTES):
            size += len(piece)
            if size > item.size_bytes:
                raise TooLarge(item.size_bytes)
            digest.update(piece)
    _check_found(item, size, digest.hexdigest())


def _check_found(item: ModelFile, size: int, digest: str) -> None:
    if size != item.size_bytes:
        raise ModelRejected("size", f"{item.path} has {size} bytes; its manifest says {item.size_bytes}")
    if digest != item.sha256:
        raise ModelRejected("hash", f"{item.path} does not have the SHA-256 in its manifest")


@contextmanager
def _opened(folder: Path, name: str, limit: int) -> Iterator[tuple[int, str]]:
    """The descriptor of the folder that holds a version's file, and the file's name there. Each folder is opened once.

    Raises ModelRejected for a path that leaves the folder, and for every OSError inside; the message names `limit`.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        raise ModelRejected("path", "the manifest lists a file outside the version's folder")
    try:
        with (
            opened_folder(folder.parent) as versions,
            opened_folder(folder.name, within=versions) as version,
            opened_below(version, str(path)) as found,
        ):
            yield found
    except NotRegular as error:
        if error.kind == "a symbolic link":
            raise ModelRejected("path", f"{name} is reached through a symbolic link") from error
        raise ModelRejected("missing", f"{name} is missing: expected a regular file, found {error.kind}") from error
    except TooLarge as error:
        raise ModelRejected("size", f"{name} is larger than {limit} bytes") from error
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
            raise ModelRejected("missing", f"{name} is missing") from error
        raise ModelRejected("read", f"{name} cannot be read: {error.strerror}") from error
