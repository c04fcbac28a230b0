"""Runs an attack from a test."""

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Attack:
    """One of `support.attacks`, in a separate process, from entry until exit."""

    def __init__(self, name: str, target: str, count: int) -> None:
        self.name = name
        self.count = count
        self._target = target

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.attacks", self.name, self._target, str(self.count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def done(self) -> dict[str, Any]:
        """Waits until the attack is complete.

        `sent`: how often it was made; `cut`: connections that the server ended.
        """
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the attacker failed"
        said: dict[str, Any] = json.loads(line)
        return said
