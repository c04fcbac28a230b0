"""The convolutional network through the server: `python -m benchmarks.serving.cnn --repository models-cnn`.

Both transports with the loads of the other network, and the network alone; rewrites its figures in
docs/performance.md. Rounds are interleaved, the medians of all are shown.
"""

import argparse
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import machine
from benchmarks.common.cores import move_to
from benchmarks.common.paths import ROOT, SERVING
from benchmarks.common.report import replace_figures
from benchmarks.common.tables import number, table
from benchmarks.loads.payloads import Payloads
from benchmarks.servers.catalogue import Server, all_servers, tool_missing
from benchmarks.servers.running import Running
from benchmarks.serving.rounds import Plan, bare_network
from benchmarks.serving.scenarios import LOADS, Bench, Figures
from digits_server.runtimes.litert import LiteRTRuntime

BEGIN = "<!-- figures: begin (python -m benchmarks.serving.cnn) -->"
SERVERS = ("digits-native", "digits-grpcio")
COLUMNS = {
    "single_1": "1 image, 1 in flight",
    "single_64": "1 image, 64 in flight",
    "batch_32": "32 images, 8 in flight",
    "batch_1024": "1,024 images, 4 in flight",
}
Rounds = list[dict[str, Any]]


class CnnPayloads(Payloads):
    """Requests, and what the published convolutional network answers to them."""

    def digits(self, count: int) -> list[int]:
        runtime = LiteRTRuntime((self.version / "model.tflite").read_bytes())
        return [int(digit) for digit in runtime.predict(self.images[:count]).argmax(axis=1)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.serving.cnn", description=__doc__)
    parser.add_argument("--repository", type=Path, default=ROOT / "models-cnn", help="repository of a cnn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="that one load lasts")
    options = parser.parse_args()
    absent = tool_missing("h2load", "nghttp2-client")
    if absent:
        print(f"nothing measured: {absent}")
        return 1
    payloads = CnnPayloads(options.repository.resolve(), SERVING.build)
    plan = Plan("0", "1", options.seconds, open_loop=False)
    move_to(plan.load_cores)
    servers = [server for server in all_servers(payloads, 1) if server.name in SERVERS and not server.missing]
    rounds = [measured(servers, payloads, plan, seed) for seed in range(options.rounds)]
    replace_figures(SERVING.page, figures(servers, rounds, machine.describe()), BEGIN)
    return 0


def measured(servers: list[Server], payloads: Payloads, plan: Plan, seed: int) -> dict[str, Any]:
    """One round: each server with each load, and the network alone."""
    found: dict[str, Any] = {"network": bare_network(payloads, plan)}
    for server in servers:
        print(f"round {seed + 1}: {server.name}", flush=True)
        with Running(server, plan.server_cores, SERVING.build / f"{server.name}-cnn.log") as running:
            bench = Bench(running, payloads, plan.load_cores, plan.seconds, seed)
            bench.start()
            found[server.name] = {load: bench.under(LOADS[load]) for load in COLUMNS}
    return found


def figures(servers: list[Server], rounds: Rounds, ran_on: Mapping[str, str]) -> str:
    """The tables, and where the figures come from."""
    rows = [_row(server, load, rounds) for server in servers for load in COLUMNS]
    head = ("server", "load", "requests/s", "images/s", "CPU µs a request", "p50 ms")
    alone = [
        [f"{int(size):,} images", number(median(each["network"][size] for each in rounds))]
        for size in rounds[0]["network"]
    ]
    where = "\n".join(f"- {name}: {text}" for name, text in ran_on.items())
    return "\n\n".join(
        [
            f"Measured {datetime.now(UTC).date().isoformat()}, rounds: {len(rounds)}; servers on one core.\n\n{where}",
            table(head, rows),
            table(("the network alone", "µs a call"), alone),
        ]
    )


def _row(server: Server, load: str, rounds: Rounds) -> list[str]:
    def middle(name: str) -> str:
        found: list[Figures] = [each[server.name][load] for each in rounds]
        return number(median(figure[name] for figure in found))

    names = ("requests_per_second", "images_per_second", "cpu_us", "p50_ms")
    return [server.title, COLUMNS[load], *map(middle, names)]


if __name__ == "__main__":
    sys.exit(main())
