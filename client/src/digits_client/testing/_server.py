"""The real server in a separate process, on free ports, with the installed model."""

import json
import os
import subprocess
import sys
import threading
from importlib.metadata import PackageNotFoundError, distribution
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

START_SECONDS = 60.0
"""Deadline for the server to answer predictions."""

STOP_SECONDS = 30.0
"""Time to stop before the server is killed."""

SERVER, MODEL = "digits-server", "digits-model"
"""The packages that are needed in this environment."""

KEPT_LINES = 20
"""Lines of the server's log that an error shows."""


class CannotStart(Exception):
    """The server cannot be started; the message says why, and what to install if something is missing."""


class LocalServer:
    """A server of the installed model. As a context manager: answers predictions on entry, has ended on exit.

    target  the address for its clients, host:port
    http    the address of its page, metrics and health
    """

    target: str
    http: str

    def __init__(self, *flags: str) -> None:
        """`flags` are further ones of `digits-server`, such as --repository for another model."""
        self._flags = flags

    def __enter__(self) -> "Self":
        """Starts it. Raises CannotStart."""
        self._process = subprocess.Popen(  # nosec B603  # our own server
            [*_command(self._flags), *self._flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(),
        )
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._answers = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._wait_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def _wait_ready(self) -> None:
        seen: list[str] = []
        deadline = monotonic() + START_SECONDS
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - monotonic()))
            except Empty:
                raise CannotStart(
                    f"digits-server did not answer within {START_SECONDS:.0f} seconds: {_last(seen)}"
                ) from None
            if line is None:
                raise CannotStart(f"digits-server ended before it answered: {_last(seen)}")
            seen.append(line.decode(errors="replace").strip())
            record = _record(seen[-1])
            if record.get("message") == "listening":
                self.target = f"127.0.0.1:{record['grpc']}"
                self.http = f"http://127.0.0.1:{record['http']}"
            elif record.get("message") == "ready":
                self._answers.set()
                return

    def _read(self) -> None:
        """Reads every line, so that the server never blocks; passes them on until the server answers."""
        for line in self._process.stderr or ():
            if not self._answers.is_set():
                self._lines.put(line)
        self._lines.put(None)

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(STOP_SECONDS)
        if self._process.stderr:
            self._process.stderr.close()


def _command(flags: tuple[str, ...]) -> list[str]:
    """The command that starts the server. CannotStart if a package is missing."""
    own_model = any(flag.partition("=")[0] in ("--repository", "--model") for flag in flags)
    missing = [package for package in ([SERVER] if own_model else [SERVER, MODEL]) if not _installed(package)]
    if missing:
        raise CannotStart(
            f"{' and '.join(missing)} must be installed together with digits-client, in the environment of "
            f"{sys.executable}, to start a real server: install their wheels, or use a FakeClient, which needs neither"
        )
    # -P: a digits_server.py in the folder of the tests is not the server.
    command = [sys.executable, "-P", "-m", "digits_server", "--host", "127.0.0.1", "--log-format", "json"]
    command += ["--grpc-port", "0", "--http-port", "0"]
    if own_model:
        return command
    return [*command, "--repository", str(distribution(MODEL).locate_file("digits_model/models"))]


def _installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def _environment() -> dict[str, str]:
    """The environment of the tests, without the settings of other servers."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DIGITS_")}


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _last(lines: list[str]) -> str:
    return " | ".join(lines[-KEPT_LINES:]) or "it said nothing"
