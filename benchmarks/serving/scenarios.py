"""What is measured of one running server."""

import subprocess
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.common.paths import SERVING
from benchmarks.loads import closed_loop, open_loop
from benchmarks.loads.closed_loop import Load, Report, WrongAnswers, lasting
from benchmarks.loads.network import MAX_BATCH_SIZE
from benchmarks.loads.payloads import Payload, Payloads
from benchmarks.loads.protocols import framed
from benchmarks.servers.process_tree import cpu_seconds, memory
from benchmarks.servers.running import Running

LOADS = {
    "single_1": Load(1, 1, 1),
    "single_64": Load(4, 16, 1),
    "single_256": Load(16, 16, 1),
    "batch_32": Load(2, 4, 32),
    "batch_1024": Load(1, 4, MAX_BATCH_SIZE),
}
VARIANT_LOADS = ("single_64", "single_256")
"""Where a server is measured without one of its parts too."""

OPEN_LOOP_SHARES = (0.25, 0.5, 0.75, 0.9)
"""Offered rates, as shares of what the same server did with 64 in flight a moment before."""

BACKGROUND = Load(1, 1, MAX_BATCH_SIZE)
"""The load beside a one-image request: 1,024 images are sent as soon as the last ones are answered."""

CALIBRATION = 60  # requests that tell how many fill the time of a run
WARM_UP_SHARE = 0.2
SETTLE = 0.3  # seconds until the large requests flow, and that they go on after the small ones
LOG = SERVING.build / "h2load.log"

Figures = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """One server under measurement. Each method is one scenario and returns its figures.

    cores    where load generators run
    seconds  that one load lasts
    seed     of the open loop's schedule
    """

    running: Running
    payloads: Payloads
    cores: str
    seconds: float
    seed: int

    def start(self) -> float:
        """Seconds from exec to the first answer. Raises WrongAnswers when the digits of 1 or 1,024 images are wrong."""
        seconds = self.running.first_answer(self.payloads.images[:1])
        server = self.running.server
        for count in (1, MAX_BATCH_SIZE) if server.has_model else ():
            answered = server.protocol.digits(self.running.call(self.payloads.images[:count]))
            if answered != self.payloads.digits(count):
                raise WrongAnswers(f"the digits of {count} images are not those of the published network")
        return seconds

    def under(self, load: Load) -> Figures:
        """Throughput, latency and the server's CPU time under a closed loop."""
        first = self._count(load, CALIBRATION)
        warm = self._count(load, first.rate * self.seconds * WARM_UP_SHARE)
        before = cpu_seconds(self.running.pid)
        report = self._count(load, warm.rate * self.seconds)
        used = cpu_seconds(self.running.pid) - before
        return {
            "requests": report.requests,
            "requests_per_second": report.rate,
            "images_per_second": report.rate * load.images,
            "cpu_us": used / report.requests * 1e6,
            "core_share": used * report.rate / report.requests,
            "p50_ms": report.percentile(0.5),
            "p99_ms": report.percentile(0.99),
        }

    def beside_large(self) -> Figures:
        """A one-image request at a time: alone, then while requests of 1,024 images follow one another."""
        one = LOADS["single_1"]
        self._count(one, CALIBRATION)
        alone = self._for_seconds(one)
        background = subprocess.Popen(
            closed_loop.command(*self._target(BACKGROUND), *lasting(self.seconds + 2 * SETTLE)),
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            time.sleep(SETTLE)
            beside = self._for_seconds(one)
        finally:
            output, _ = background.communicate(timeout=closed_loop.TIME_LIMIT)
        large = closed_loop.parse(output, "")
        large.verify(self._reply_bytes[BACKGROUND.images], in_flight=1)
        return {
            "alone_p50_ms": alone.percentile(0.5),
            "alone_p99_ms": alone.percentile(0.99),
            "beside_p50_ms": beside.percentile(0.5),
            "beside_p99_ms": beside.percentile(0.99),
            "large_images_per_second": large.rate * BACKGROUND.images,
        }

    def open_loop(self, capacity: float) -> list[Figures]:
        """Latency under arrivals that do not wait, at shares of `capacity` (requests per second)."""
        protocol = self.running.server.protocol
        message = self._payload(1).message
        return [
            {"share": share}
            | open_loop.run(
                self.running.address,
                protocol.method,
                message,
                self.cores,
                rate=share * capacity,
                seconds=self.seconds,
                seed=self.seed,
                reply_bytes=self._reply_bytes[1] - len(framed(b"")),
            ).figures()
            for share in OPEN_LOOP_SHARES
        ]

    def footprint(self) -> Figures:
        """Resident memory of all processes, MB, after the closed loops. A server that died of them does not answer."""
        self.running.call(self.payloads.images[:1])
        used = memory(self.running.pid)
        return {"rss_mb": used.rss, "pss_mb": used.pss}

    def _count(self, load: Load, wanted: float) -> Report:
        """About `wanted` requests: a multiple of the connections, and as many as shall be in flight."""
        number = max(load.connections * round(wanted / load.connections), load.in_flight)
        report = closed_loop.run(*self._target(load), "-n", str(number), log=LOG)
        report.verify(self._reply_bytes[load.images])
        return report

    def _for_seconds(self, load: Load) -> Report:
        report = closed_loop.run(*self._target(load), *lasting(self.seconds), log=LOG)
        report.verify(self._reply_bytes[load.images], in_flight=load.in_flight)
        return report

    def _target(self, load: Load) -> tuple[str, Any, Load, str]:
        url = f"http://{self.running.address}{self.running.server.protocol.method}"
        return url, self._payload(load.images).frame, load, self.cores

    def _payload(self, images: int) -> Payload:
        return self.payloads.payload(self.running.server.protocol, images)

    @cached_property
    def _reply_bytes(self) -> dict[int, int]:
        """Images of a request → bytes of its reply as gRPC frames it."""
        counts = {load.images for load in LOADS.values()}
        return {count: len(framed(self.running.call(self.payloads.images[:count]))) for count in counts}
