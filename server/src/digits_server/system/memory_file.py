"""Bytes as a file that only this process knows, for libraries that read from a path."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def in_memory(content: bytes) -> Iterator[str]:
    """A path whose file has this content until the context is left. It is in memory where the system has such files."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        with os.fdopen(os.memfd_create("digits"), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as file:  # readable for this user only
            file.write(content)
            file.flush()
            yield file.name
