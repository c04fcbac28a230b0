"""A model is first loaded and run in a separate process, so that a harmful file can harm only that process.

The verified bytes go to the child through a pipe, and the server loads the same bytes. The child has limits of memory
and time, and no network if the system allows that. It answers in one line of JSON. If it dies, the version is rejected.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import IO, cast

from digits_server.errors import ModelRejected
from digits_server.runtimes.loading import ModelContent
from digits_server.sandbox.golden_images import GoldenImages
from digits_server.settings import SANDBOX_LIMITS

ARGUMENTS = ("-P", "-m", "digits_server.sandbox.child")  # -P: import nothing from the working directory
MAX_ANSWER_BYTES = 64 * 1024
MAX_REASON_CHARACTERS = 500

CAUSES = {"load", "operator", "memory", "golden", "internal"}
"""Causes of a rejection that a child may name."""

OURS = ("DIGITS_", "OTEL_")
"""Prefixes of environment variables that a child does not get: they may hold a collector's password."""

EXHAUSTED = {signal.SIGXCPU, signal.SIGALRM}


class Child:
    """One process that tries one model. It imports what it needs at once, then waits for the model."""

    def __init__(self, runtime: str) -> None:
        """Raises OSError."""
        # The answer goes to a file in memory, because the limit of file sizes applies to it. It does not apply to a
        # pipe.
        self._answer = _file_in_memory()
        limits = SANDBOX_LIMITS[runtime]
        try:
            self._process = subprocess.Popen(
                [sys.executable, *ARGUMENTS, runtime, str(limits.memory), str(limits.seconds)],
                stdin=subprocess.PIPE,
                stdout=self._answer,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        except BaseException:
            self._answer.close()
            raise

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def try_model(self, content: ModelContent, golden: GoldenImages, largest: int) -> None:
        """Raises ModelRejected unless the child ran the model at every batch size and its golden images passed."""
        parts = (golden.images.tobytes(), golden.probabilities.tobytes(), content.data)
        head = {
            "name": content.name,
            "scale": content.scale,
            "largest": largest,
            "tolerance": golden.tolerance,
            "lengths": [len(part) for part in parts],
        }
        seconds = SANDBOX_LIMITS[content.runtime].seconds
        try:
            self._process.communicate(b"".join((json.dumps(head).encode(), b"\n", *parts)), timeout=seconds)
            self._judge(content)
        except subprocess.TimeoutExpired:
            raise ModelRejected("time", f"{content.name} was not loaded and run within {seconds} s") from None
        finally:
            self.end()

    def kill(self) -> None:
        """Kills the process: `try_model`, which may wait in another thread, then returns."""
        self._process.kill()

    def end(self) -> None:
        """Kills the process if it is still there, and frees its resources."""
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):
            cast("IO[bytes]", self._process.stdin).close()
        self._answer.close()

    def _judge(self, content: ModelContent) -> None:
        code = self._process.returncode
        if code < 0 and -code in EXHAUSTED:
            raise ModelRejected(
                "time", f"{content.name} was not loaded and run within {SANDBOX_LIMITS[content.runtime].seconds} s"
            )
        if code < 0:
            killed = -code == signal.SIGKILL  # by the system, when memory is short
            message = f"{content.name} ended with signal {-code} while it was tried"
            raise ModelRejected("crash", message, passing=killed)
        try:
            answer = json.loads(os.pread(self._answer.fileno(), MAX_ANSWER_BYTES, 0))
            cause, message = answer["cause"], answer["message"]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelRejected("crash", f"{content.name} ended with exit code {code} while it was tried") from error
        if cause:
            # A harmful model can write an answer too, but only a short text under a known cause.
            known = cause if cause in CAUSES else "internal"
            words = "".join(letter for letter in str(message) if letter.isprintable())
            raise ModelRejected(known, words[:MAX_REASON_CHARACTERS])


class Sandbox:
    """Makes a child for each model. Starts the first one early, so that it is ready when the first model is read.

    Its methods may be called from any thread.
    """

    def __init__(self) -> None:
        self._early: Child | None = None
        self._child: Child | None = None
        self._closed = False

    def start_early(self, runtime: str) -> None:
        with suppress(OSError):  # `try_model` reports it
            self._early = Child(runtime)

    def try_model(self, content: ModelContent, golden: GoldenImages, largest: int) -> None:
        """Loads and runs a model in a separate process. Raises ModelRejected."""
        try:
            early, self._early = self._early, None
            self._child = early if early and early.alive else Child(content.runtime)
        except OSError as error:
            raise ModelRejected("internal", "the process in which a model is tried cannot be started") from error
        if self._closed:
            self._child.kill()
        self._child.try_model(content, golden, largest)

    def close(self) -> None:
        """Stops trying the current model."""
        self._closed = True
        if self._early:
            self._early.end()
        if self._child:
            self._child.kill()  # the thread that waits for the child cleans up


SANDBOX = Sandbox()
"""The sandbox of this process: it tries one model at a time."""


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _file_in_memory() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        with suppress(OSError):  # a sandbox may refuse it
            return os.fdopen(os.memfd_create("proof"), "rb")
    return cast("IO[bytes]", tempfile.TemporaryFile())
