"""Units of deploy/systemd, read and started as systemd does it: environment files, command, readiness."""

import os
import shlex
import signal
import socket
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

UNITS = Path(__file__).parents[3] / "deploy" / "systemd"
START_SECONDS = 120.0
STOP_SECONDS = 40.0
READY = b"READY=1"


def settings(path: Path) -> dict[str, list[str]]:
    """The settings of a unit by name, with every value, whatever their section."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in path.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name].append(value)
    return dict(found)


def environment(file: Path) -> dict[str, str]:
    """The variables of an environment file."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


class Unit:
    """A unit with its name, as in `digits-server@a.service`. As a context manager: stopped at the end.

    places     replacements of paths: from prefixes of paths in units, to folders on this machine
    variables  win over those of the environment files: free ports, and a repository of the test
    under      a command that runs the unit's own
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        places: Mapping[str, Path],
        variables: Mapping[str, str],
        under: Sequence[str] = (),
    ) -> None:
        self._name = name
        stem, at, instance = name.removesuffix(".service").partition("@")
        own = settings(UNITS / f"{stem}{at}.service")
        (command,) = own["ExecStart"]
        self._variables: dict[str, str] = {}
        for file in own["EnvironmentFile"]:
            self._variables |= environment(Path(_placed(file.replace("%i", instance), places)))
        self._variables |= variables
        words = [word for part in shlex.split(command) for word in self._expanded(part)]
        self._command = [*under, str(_placed(words[0], places)), *(str(_placed(word, places)) for word in words[1:])]
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._path = folder / f"notify-{stem}-{instance}"
        self._manager.bind(str(self._path))
        self._manager.settimeout(START_SECONDS)
        self._log = (folder / f"{stem}-{instance}.log").open("a")

    def _expanded(self, word: str) -> list[str]:
        return shlex.split(self._variables[word[1:]]) if word.startswith("$") else [word]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait(STOP_SECONDS)
        self._manager.close()
        self._log.close()

    def execute(self) -> Self:
        """Starts the main process."""
        variables = {**os.environ, **self._variables, "NOTIFY_SOCKET": str(self._path)}
        self.process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log, env=variables)
        return self

    def start(self) -> Self:
        """As `systemctl start` for a unit of the type notify: returns when the service says that it is ready."""
        self.execute()
        while (said := self.hears()) != READY:
            assert said == b"STOPPING=1"
        return self

    def hears(self) -> bytes:
        """Waits for the next message to the service manager, and returns it."""
        return self._manager.recv(1024)

    def stop(self) -> int:
        """As `systemctl stop` with KillMode=mixed: SIGTERM to the main process. The exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def restart(self) -> None:
        """As `systemctl restart`."""
        assert self.stop() == 0
        self.start()


def _placed(path: str, places: Mapping[str, Path]) -> str | Path:
    for begin, place in places.items():
        if path.startswith(begin):
            return place / path.removeprefix(begin).lstrip("/")
    return path
