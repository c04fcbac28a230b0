"""A process that has imported TensorFlow, and forks for each model file that an import tries to load.

`digits_training.importing.loading` starts a process for each. TensorFlow takes four seconds of processor time to start,
and the tests load some fifty files.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, Self

TESTS = Path(__file__).parents[2]
STOP_SECONDS = 30.0


class WarmLoader:
    """Loads files as `loading.load_in_child` does. It starts when it is first asked to."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, copy: Path, name: str) -> "subprocess.CompletedProcess[bytes]":
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "support.models.warm_loader"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": str(TESTS), "OPENBLAS_NUM_THREADS": "1"},  # only one thread may fork
            )
        try:
            code, out, err = self._asked(self._process, [str(copy), name])
        except BaseException:  # a test that is interrupted leaves no answer for the next one
            self.end()
            raise
        return subprocess.CompletedProcess([], code, out.encode(), err.encode())

    @staticmethod
    def _asked(process: "subprocess.Popen[str]", arguments: list[str]) -> tuple[int, str, str]:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(arguments) + "\n")
        process.stdin.flush()
        code, out, err = json.loads(process.stdout.readline())
        return code, out, err

    def end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate(timeout=STOP_SECONDS)
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()


def _in_fork(arguments: list[str]) -> tuple[int, str, str]:
    """The exit code of `load_with_limits` in a child, negative for a signal, and what it wrote to stdout and stderr."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _load(arguments, out, err)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode(errors="replace"))
        return code, said[0], said[1]


def _load(arguments: list[str], out: IO[bytes], err: IO[bytes]) -> NoReturn:
    from digits_training.importing import loading

    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    signal.alarm(loading.CHILD_SECONDS)
    sys.argv = ["", *arguments]
    code: Any = 1  # as Python ends with an exception
    try:
        loading.load_with_limits()
        code = 0
    except SystemExit as ended:
        code = ended.code
    except Exception:  # noqa: BLE001 - what Python itself does at its end
        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> None:
    """Answers each line of the standard input in a line of the standard output, until the input ends."""
    from digits_training.networks import backend

    backend.start(seed=0)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_in_fork(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
