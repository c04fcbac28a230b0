"""`digits-train` in forks of one process that has imported TensorFlow, which takes three seconds of processor time.

A fork runs the console script's own function, with the environment and the limits it is given. It differs from the
program in the import, and in the pictures of the report, which stay white: to draw them takes as long as to train. For
the mlp: TensorFlow's settings for a network are fixed when it is imported.
"""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Self

from matplotlib.figure import Figure

TESTS = Path(__file__).parents[2]
STOP_SECONDS = 30.0
BESIDE_TENSORFLOW = ("digits_training.jobs.train", "ai_edge_litert.interpreter", "PIL.PngImagePlugin")
"""Modules that every training run imports."""

LONGEST_REQUEST = 2**20


class Command:
    """One command that runs. Its outputs are read as they come, or all at the end."""

    def __init__(self, connection: socket.socket, stdout: int, stderr: int) -> None:
        self._connection = connection
        self.stdout = os.fdopen(stdout)
        self._stderr = os.fdopen(stderr)
        self._answers = connection.makefile()
        self._pid = int(self._answers.readline())

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self._pid, number)

    def end(self, seconds: float) -> tuple[int, str]:
        """Waits for its end: the exit code, negative for a signal, and the errors. Its output is read and dropped."""
        self._connection.settimeout(seconds)
        with self._connection, self._answers, self.stdout, self._stderr:
            self.stdout.read()
            return int(self._answers.readline()), self._stderr.read()


class WarmCommand:
    """Starts commands, one at a time."""

    def __enter__(self) -> Self:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._requests = ours
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.training.warm_command", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"PYTHONPATH": str(TESTS), "OPENBLAS_NUM_THREADS": "1"},  # only one thread may fork
        )
        theirs.close()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._requests.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            raise

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], largest_file: int | None = None
    ) -> Command:
        """Runs `digits-train ARGUMENTS`; no file that it writes can be longer than `largest_file` bytes."""
        (out, out_written), (err, err_written) = os.pipe(), os.pipe()
        connection, theirs = socket.socketpair()
        request = json.dumps([list(arguments), dict(environment), largest_file]) + "\n"
        socket.send_fds(self._requests, [request.encode()], [out_written, err_written, theirs.fileno()])
        for handle in (out_written, err_written):
            os.close(handle)
        theirs.close()
        return Command(connection, out, err)


def _run(arguments: list[str], environment: dict[str, str], largest_file: int | None, out: int, err: int) -> None:
    """What the console script does, in the process that was made for it. Ends it as a program ends."""
    from digits_training import cli

    for number, handle in ((1, out), (2, err)):
        os.dup2(handle, number)
        os.close(handle)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # it depends on the environment
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    sys.argv = ["digits-train", *arguments]
    cli.main()


def main() -> None:
    """Runs the commands that are asked for, one after the other, until the tests close their end."""
    from digits_training.networks import backend

    backend.start(seed=0)
    for module in BESIDE_TENSORFLOW:
        import_module(module)
    setattr(Figure, "draw", lambda _figure, _renderer: None)  # noqa: B010 - for mypy it is another function
    requests = socket.socket(fileno=int(sys.argv[1]))
    while True:
        content, handles, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 3)
        if not content:
            return
        while not content.endswith(b"\n"):
            content += requests.recv(LONGEST_REQUEST)
        out, err, connection = handles
        child = os.fork()
        if child == 0:
            requests.close()
            os.close(connection)
            _run(*json.loads(content), out, err)
        os.close(out)
        os.close(err)
        with os.fdopen(connection, "w", buffering=1) as answers:
            answers.write(f"{child}\n")
            answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")


if __name__ == "__main__":
    main()
