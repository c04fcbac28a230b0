"""Closed-loop load with h2load: a fixed number of requests in flight, the next one sent when one is answered.

What h2load prints is described in https://nghttp2.org/documentation/h2load.1.html.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.cores import on_cores
from benchmarks.common.figures import percentile

GRPC_HEADERS = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
TIME_LIMIT = 60.0  # seconds for one run of h2load


class WrongAnswers(Exception):
    """Not every request was answered with a reply of the right size: the figures mean nothing."""


@dataclass(frozen=True)
class Load:
    """`connections` × `streams` requests in flight, of `images` each."""

    connections: int
    streams: int
    images: int

    @property
    def in_flight(self) -> int:
        return self.connections * self.streams


@dataclass(frozen=True)
class Report:
    """What h2load saw.

    requests   asked for; in a run of fixed duration, done
    answered   of them with HTTP status 200. A gRPC error is one too, but its reply has no bytes
    data       bytes of all replies, with gRPC's frame of five bytes each
    rate       requests per second
    latencies  ms, ascending
    """

    requests: int
    answered: int
    data: int
    rate: float
    latencies: list[float]

    def verify(self, reply_bytes: int, *, in_flight: int = 0) -> None:
        """Raises WrongAnswers unless every reply had `reply_bytes`.

        A run of fixed duration stops with up to `in_flight` replies half received.
        """
        most = (self.requests + in_flight) * reply_bytes
        if not self.requests or self.answered < self.requests or not self.requests * reply_bytes <= self.data <= most:
            raise WrongAnswers(
                f"{self.answered} of {self.requests} requests were answered, with {self.data} bytes; "
                f"expected {reply_bytes} each"
            )

    def percentile(self, share: float) -> float:
        return percentile(self.latencies, share)


def parse(output: str, log: str) -> Report:
    """Reads h2load's summary and its log: a line of start (µs), status, latency (µs) for each request."""
    rate = _find(r"finished in [^,]+, ([\d.]+) req/s", output)
    requests = _find(r"requests: (\d+) total", output)
    answered = _find(r"status codes: (\d+) 2xx", output)
    data = _find(r"\((\d+)\) data", output)
    latencies = sorted(int(line.split("\t")[2]) / 1000 for line in log.splitlines())
    return Report(int(requests), int(answered), int(data), float(rate), latencies)


def _find(pattern: str, output: str) -> str:
    found = re.search(pattern, output)
    if found is None:
        raise WrongAnswers(f"h2load printed no {pattern!r}: {output.strip()[-200:]!r}")
    return found[1]


def command(url: str, frame: Path, load: Load, cores: str, *extent: str) -> list[str]:
    """h2load's command line; `extent` is `-n COUNT`, or what `lasting` says."""
    shape = ["-c", str(load.connections), "-m", str(load.streams)]
    return on_cores(cores, ["h2load", *shape, *extent, "-d", frame, *GRPC_HEADERS, url])


def lasting(seconds: float) -> list[str]:
    """The extent of a run of fixed duration."""
    return ["-D", f"{seconds * 1000:.0f}ms"]


def run(url: str, frame: Path, load: Load, cores: str, *extent: str, log: Path) -> Report:
    """One run of h2load, to its end."""
    log.unlink(missing_ok=True)
    line = command(url, frame, load, cores, *extent, f"--log-file={log}")
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=TIME_LIMIT)
    if done.returncode:
        raise WrongAnswers(f"h2load ended with {done.returncode}: {done.stderr.strip()}")
    return parse(done.stdout, log.read_text())
