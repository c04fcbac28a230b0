"""The stack of docker-compose.yml on a real engine, under a separate project name, on free ports."""

import json
import os
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Self

import pytest

from support.network.ports import free_port
from support.programs.engine import DOCKER, attempt, docker, inspect
from support.waiting import until

ROOT = Path(__file__).parents[3]
FILES = ("docker-compose.yml", "tests/compose/local-images.yml")
PORTS = (
    *("DIGITS_GRPC_PORT", "DIGITS_GRPC_TLS_PORT", "DIGITS_MUTUAL_TLS_PORT"),
    *("DIGITS_HTTP_PORT", "DIGITS_HTTP_TLS_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT"),
)
BUILD_SECONDS = 1800.0
"""Deadline for a clean engine on a busy machine to build every image."""
UP_SECONDS = 300.0
"""Deadline for training and for every replica to become healthy."""


def compose_command() -> list[str]:
    """`docker compose`, or the classic `docker-compose`, if only that is installed."""
    if attempt("compose", "version").returncode == 0:
        return [DOCKER, "compose"]
    if classic := shutil.which("docker-compose"):
        return [classic]
    pytest.exit("neither docker compose nor docker-compose is installed", 1)


class Stack:
    """One project of the compose file. As a context manager: it is completely removed at the end."""

    def __init__(self) -> None:
        self.project = f"digits-test-{os.getpid()}"
        self.ports = {name: free_port() for name in PORTS}
        self.target = f"127.0.0.1:{self.ports['DIGITS_GRPC_PORT']}"
        self.http = f"http://127.0.0.1:{self.ports['DIGITS_HTTP_PORT']}"
        self._command = [*compose_command(), *(part for file in FILES for part in ("--file", file))]
        self._command += ["--project-name", self.project]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.compose("down", "--volumes", "--timeout", "30", seconds=UP_SECONDS)

    def compose(self, *arguments: str, seconds: float = 60.0) -> str:
        """The output of the command; fails with its last lines if the command fails."""
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env={**os.environ, **{name: str(port) for name, port in self.ports.items()}},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"compose {' '.join(arguments)}: {done.stdout[-3000:]}"
        return done.stdout

    def models(self, *arguments: str) -> str:
        """The output of `digits-server models`, run as docs/deploying.md says."""
        return self.compose("run", "--rm", "-T", "models", *arguments, seconds=UP_SECONDS)

    def containers(self, service: str) -> list[str]:
        """The ids of its running containers."""
        labels = (f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}")
        return docker("ps", "--quiet", "--no-trunc", *(f"--filter=label={label}" for label in labels)).split()

    def wait_healthy(self, service: str, count: int) -> None:
        """Returns when `count` of its containers are running and healthy."""

        def healthy() -> bool:
            states = [inspect(each)["State"]["Health"]["Status"] for each in self.containers(service)]
            return states == ["healthy"] * count

        until(healthy, f"{count} × {service} healthy", UP_SECONDS)

    def query(self, expression: str) -> dict[str, float]:
        """Prometheus's answer: instance → value ("" where there is no such label)."""
        query = urllib.parse.urlencode({"query": expression})
        url = f"http://127.0.0.1:{self.ports['PROMETHEUS_PORT']}/api/v1/query?{query}"
        with urllib.request.urlopen(url, timeout=10) as page:
            results = json.load(page)["data"]["result"]
        return {result["metric"].get("instance", ""): float(result["value"][1]) for result in results}
