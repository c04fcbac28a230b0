"""A model is first loaded and run in a process of its own, so that a file which harms a process harms that one.

The bytes that were verified go to the child through a pipe, and are the ones that are served. The child has limits of
memory and time, and no network where the system allows it. It says in one line of JSON what it found. If it dies
instead, the version is rejected.
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
from digits_server.settings import PROOF_LIMITS

ARGUMENTS = ("-P", "-m", "digits_server.sandbox.child")  # -P: nothing is imported from the working directory
MAX_ANSWER_BYTES = 64 * 1024
MAX_REASON_CHARACTERS = 500

CAUSES = {"load", "operator", "memory", "golden", "internal"}
"""What a child may give as the cause of a rejection."""

OURS = ("DIGITS_", "OTEL_")
"""Beginnings of the environment variables that a child does not get: a collector's password may be among them."""

EXHAUSTED = {signal.SIGXCPU, signal.SIGALRM}


class Child:
    """One process that proves one model. Imports what it needs as soon as it is made, then waits for the model."""

    def __init__(self, runtime: str) -> None:
        """Raises OSError."""
        # The answer is a file in memory: the limit of a file's size holds for it, which does not for a pipe.
        self._answer = _file_in_memory()
        limits = PROOF_LIMITS[runtime]
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

    def prove(self, content: ModelContent, golden: GoldenImages, largest: int) -> None:
        """Raises ModelRejected unless the child ran the model at every batch size and liked its scores."""
        parts = (golden.images.tobytes(), golden.probabilities.tobytes(), content.data)
        head = {
            "name": content.name,
            "scale": content.scale,
            "largest": largest,
            "tolerance": golden.tolerance,
            "lengths": [len(part) for part in parts],
        }
        seconds = PROOF_LIMITS[content.runtime].seconds
        try:
            self._process.communicate(b"".join((json.dumps(head).encode(), b"\n", *parts)), timeout=seconds)
            self._judge(content)
        except subprocess.TimeoutExpired:
            raise ModelRejected("time", f"{content.name} was not proved within {seconds} s") from None
        finally:
            self.end()

    def kill(self) -> None:
        """Has `prove`, if it waits in another thread, see the process die."""
        self._process.kill()

    def end(self) -> None:
        """Kills the process if it is still there, and lets go of what it had."""
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):
            cast("IO[bytes]", self._process.stdin).close()
        self._answer.close()

    def _judge(self, content: ModelContent) -> None:
        code = self._process.returncode
        if code < 0 and -code in EXHAUSTED:
            raise ModelRejected(
                "time", f"{content.name} was not proved within {PROOF_LIMITS[content.runtime].seconds} s"
            )
        if code < 0:
            killed = -code == signal.SIGKILL  # by the system, when memory is short
            message = f"{content.name} ended with signal {-code} while it was proved"
            raise ModelRejected("crash", message, passing=killed)
        try:
            answer = json.loads(os.pread(self._answer.fileno(), MAX_ANSWER_BYTES, 0))
            cause, message = answer["cause"], answer["message"]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelRejected("crash", f"{content.name} ended with exit code {code} while it was proved") from error
        if cause:
            # What a harmful model may have put there is at most a short text under a known cause.
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
        with suppress(OSError):  # that is said when the model is proved
            self._early = Child(runtime)

    def prove(self, content: ModelContent, golden: GoldenImages, largest: int) -> None:
        """Loads and runs a model in a process of its own. Raises ModelRejected."""
        try:
            early, self._early = self._early, None
            self._child = early if early and early.alive else Child(content.runtime)
        except OSError as error:
            raise ModelRejected("internal", "the process in which a model is proved cannot be started") from error
        if self._closed:
            self._child.kill()
        self._child.prove(content, golden, largest)

    def close(self) -> None:
        """Ends what is being proved."""
        self._closed = True
        if self._early:
            self._early.end()
        if self._child:
            self._child.kill()  # the thread that waits for it sees the rest


SANDBOX = Sandbox()
"""That of this process: it proves one model at a time."""


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _file_in_memory() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        with suppress(OSError):  # a sandbox may refuse it
            return os.fdopen(os.memfd_create("proof"), "rb")
    return cast("IO[bytes]", tempfile.TemporaryFile())
