"""What counting costs: `python -m benchmarks.serving.metrics_cost`.

A server with and one without metrics are loaded in turns, for a second each, many times. The two runs of a pair follow
each other at once, because the speed of a machine drifts by more than the difference. Writes the median of the pairs
between the two markers of docs/performance.md.
"""

import argparse
import statistics
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.common.cores import move_to
from benchmarks.common.paths import ROOT, SERVING
from benchmarks.common.report import replace_figures
from benchmarks.common.tables import table
from benchmarks.loads import closed_loop
from benchmarks.loads.closed_loop import lasting
from benchmarks.loads.payloads import Payloads
from benchmarks.servers.catalogue import all_servers
from benchmarks.servers.process_tree import cpu_seconds
from benchmarks.servers.running import Running
from benchmarks.serving.scenarios import LOADS

BEGIN, END = "<!-- metrics: begin (python -m benchmarks.serving.metrics_cost) -->", "<!-- metrics: end -->"
LOAD = LOADS["single_64"]
SERVER_CORE, LOAD_CORE = "0", "1"
SECONDS = 1.0


def costs(payloads: Payloads, transport: str, pairs: int) -> list[tuple[float, float]]:
    """CPU seconds a request, counted and uncounted, in pairs."""
    by_name = {server.name: server for server in all_servers(payloads, 1)}
    servers = [by_name[f"digits-{transport}"], by_name[f"digits-{transport}-uncounted"]]
    frame = payloads.payload(servers[0].protocol, LOAD.images).frame
    with ExitStack() as stack:
        both = []
        for each in servers:  # the second finds its port once the first listens on its own
            both.append(stack.enter_context(Running(each, SERVER_CORE, SERVING.build / f"{each.name}.log")))
            both[-1].first_answer(payloads.images[:1])

        def measured(running: Running) -> float:
            url = f"http://{running.address}{running.server.protocol.method}"
            before = cpu_seconds(running.pid)
            report = closed_loop.run(url, frame, LOAD, LOAD_CORE, *lasting(SECONDS), log=SERVING.build / "h2load.log")
            return (cpu_seconds(running.pid) - before) / report.answered

        found = []
        for number in range(pairs + 1):  # the first pair warms up; then each comes first in every second pair
            order = both if number % 2 else both[::-1]
            values = {running: measured(running) for running in order}
            found.append((values[both[0]], values[both[1]]))
            print(f"{transport} {number} of {pairs}: {found[-1][0] / found[-1][1] - 1:.1%}", flush=True)
        return found[1:]


def row(transport: str, found: list[tuple[float, float]]) -> list[str]:
    shares = sorted(1 - uncounted / counted for counted, uncounted in found)
    quarter, _, three_quarters = statistics.quantiles(shares, n=4)
    counted, uncounted = (1e6 * statistics.median(each) for each in zip(*found, strict=True))
    middle = f"{quarter:.1%} to {three_quarters:.1%}"
    return [transport, f"{counted:.0f}", f"{uncounted:.0f}", f"{statistics.median(shares):.1%}", middle]


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.serving.metrics_cost", description=__doc__)
    parser.add_argument("--repository", type=Path, default=ROOT / "models", help="model repository to serve from")
    parser.add_argument("--pairs", type=int, default=30)
    options = parser.parse_args()
    move_to(LOAD_CORE)
    payloads = Payloads(options.repository.resolve(), SERVING.build)
    rows = [row(each, costs(payloads, each, options.pairs)) for each in ("native", "grpcio")]
    heads = ["transport", "CPU µs/req", "not counting", "counting's share: median", "middle half of the pairs"]
    text = f"{datetime.now(UTC):%Y-%m-%d}, {options.pairs} pairs, 64 single images in flight:\n\n{table(heads, rows)}"
    replace_figures(SERVING.page, text, BEGIN, END)
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
