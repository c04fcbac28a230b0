"""The container engine of this machine, by its command line."""

import json
import shutil
import subprocess
from typing import Any

import pytest

DOCKER = shutil.which("docker") or "docker"


def require_engine() -> None:
    """Ends the test run with a message if no engine answers."""
    if not shutil.which("docker") or subprocess.run([DOCKER, "info"], capture_output=True, check=False).returncode:
        pytest.exit("no container engine answers: start one (dockerd), then call make test-compose again", 1)


def docker(*arguments: str, seconds: float = 60.0) -> str:
    """The output of `docker …`; fails with its error if it fails."""
    done = attempt(*arguments, seconds=seconds)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout[-3000:]}"
    return done.stdout.strip()


def attempt(*arguments: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """`docker …`, whether it succeeds or fails; both streams are in `stdout`."""
    return subprocess.run(
        [DOCKER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )


def inspect(name: str) -> dict[str, Any]:
    """The engine's data about a container or an image."""
    return dict(json.loads(docker("inspect", name))[0])
