"""A private file with given bytes, for libraries that read from a path."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def in_memory(content: bytes) -> Iterator[str]:
    """A path whose file has this content until the context ends. The file is in memory if the system has such files."""
    file, path = _new_file()
    with file:
        file.write(content)
        file.flush()
        yield path


def _new_file() -> tuple[IO[bytes], str]:
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        with suppress(OSError):  # a sandbox may refuse it
            file = os.fdopen(os.memfd_create("digits"), "wb")
            return file, f"/proc/self/fd/{file.fileno()}"
    named = tempfile.NamedTemporaryFile()  # noqa: SIM115 - the caller closes it; it is readable for this user only
    return named, named.name
