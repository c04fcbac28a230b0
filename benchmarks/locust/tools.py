"""The two load generators, each at a fixed rate, and the results that they report."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.cores import on_cores
from benchmarks.common.figures import percentile_of_counts
from benchmarks.common.paths import ROOT, SCRIPTS

FOLDER = ROOT / "docs/examples/locust"
LOCUST = FOLDER / ".venv/bin/locust"
USERS = 8
STOP_SECONDS = 10
"""How long Locust waits for the last answers."""

TIME_LIMIT = 60.0
"""Seconds for one run of a generator."""


@dataclass(frozen=True)
class Load:
    """`rate` requests per second of `images` each, for `seconds`."""

    rate: int
    images: int
    seconds: int


@dataclass(frozen=True)
class Told:
    """The report of a generator: requests answered, requests that failed, requests per second, latencies in ms."""

    requests: int
    failed: int
    rate: float
    p50: float
    p99: float


def locust(target: str, load: Load, core: str) -> Told:
    """Runs docs/examples/locust without its page."""
    flags = ["--headless", "--only-summary", "--json", "--loglevel", "ERROR", "--stop-timeout", str(STOP_SECONDS)]
    users = ["--users", str(USERS), "--spawn-rate", str(USERS), "--run-time", f"{load.seconds}s"]
    ours = ["--rate", str(load.rate), "--images", str(load.images)]
    command: list[str | Path] = [LOCUST, "-f", FOLDER / "locustfile.py", "--host", target, *flags, *users, *ours]
    return told_by_locust(_output(command, core))


def told_by_locust(output: str) -> Told:
    """Reads Locust's statistics, a list with one entry for each kind of request."""
    (stats,) = json.loads(output)
    times = sorted((float(milliseconds), count) for milliseconds, count in stats["response_times"].items())
    requests = int(stats["num_requests"])
    seconds = stats["last_request_timestamp"] - stats["start_time"]
    return Told(
        requests - int(stats["num_failures"]),
        int(stats["num_failures"]),
        requests / seconds,
        percentile_of_counts(times, 0.5),
        percentile_of_counts(times, 0.99),
    )


def digits_bench(target: str, load: Load, core: str) -> Told:
    """Runs `digits bench`, an RPC for each call."""
    flags = ["--seconds", str(load.seconds), "--rate", str(load.rate), "--images", str(load.images)]
    command: list[str | Path] = [SCRIPTS / "digits", "bench", "--target", target, *flags, "--no-coalescing", "--json"]
    told: dict[str, Any] = json.loads(_output(command, core))
    latency = told["latency_milliseconds"]
    return Told(told["calls"], sum(told["errors"].values()), told["calls_per_second"], latency["p50"], latency["p99"])


def _output(command: list[str | Path], core: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "proto")}
    ended = subprocess.run(
        on_cores(core, command), env=environment, capture_output=True, text=True, timeout=TIME_LIMIT, check=False
    )
    if ended.returncode:
        raise SystemExit(f"{Path(command[0]).name} failed: {ended.stderr.strip()[-500:]}")
    return ended.stdout


TOOLS: dict[str, Callable[[str, Load, str], Told]] = {"`digits bench`": digits_bench, "Locust": locust}
