"""Runs attacks from a test."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Attacks:
    """Some of `support.attacks`, each a name, target and count, in separate processes, from entry until exit."""

    def __init__(self, *attacks: tuple[str, str, int]) -> None:
        self._attacks = attacks

    def __enter__(self) -> Self:
        words = [str(word) for attack in self._attacks for word in attack]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.attacks", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            process_group=0,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def all_done(self) -> list[dict[str, Any]]:
        """Waits until every attack is complete, and returns what they said, the first to end first.

        `sent`: how often it was made; `cut`: connections that the server ended.
        """
        assert self._process.stdout
        lines = [self._process.stdout.readline() for _ in self._attacks]
        assert all(lines), "an attacker failed"
        return [json.loads(line) for line in lines]


class Attack(Attacks):
    """One attack."""

    def __init__(self, name: str, target: str, count: int) -> None:
        super().__init__((name, target, count))
        self.name = name
        self.count = count

    def done(self) -> dict[str, Any]:
        """Waits until it is complete; see `all_done`."""
        return self.all_done()[0]
