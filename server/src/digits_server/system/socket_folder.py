"""A private folder for a Unix socket, whose path must be short."""

import tempfile
from contextlib import suppress
from pathlib import Path

from digits_server.errors import OperatorError

MAX_PATH_BYTES = 107
"""Longest path of a Unix socket (unix(7))."""

PLACES = (None, "/tmp", "/dev/shm", "/run")  # noqa: S108  # nosec B108 - for this user alone
"""Possible places, the best first; None: the folder in TMPDIR."""


def socket_folder(name: str) -> Path:
    """A new folder in which a socket of this name has a path that is short enough. Raises OperatorError."""
    for place in PLACES:
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="digits-", dir=place))
            if len(bytes(folder / name)) <= MAX_PATH_BYTES:
                return folder
            folder.rmdir()
    raise OperatorError(
        "--transport native needs a folder to write a socket in: set TMPDIR to a writable folder with a short path, or "
        "use --transport grpcio"
    )
