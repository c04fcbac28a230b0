"""`python -m benchmarks.locust`: one server under the same load of Locust and of `digits bench`.

Writes the table of docs/performance.md. `make bench-locust` installs Locust first.
"""

import argparse
import sys
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.common.cores import move_to
from benchmarks.common.paths import ROOT, SERVING
from benchmarks.common.report import replace_figures
from benchmarks.common.tables import table
from benchmarks.loads.payloads import Payloads
from benchmarks.locust.tools import LOCUST, TOOLS, Load, Told
from benchmarks.servers.catalogue import all_servers
from benchmarks.servers.process_tree import cpu_seconds
from benchmarks.servers.running import Running

BEGIN, END = "<!-- locust: begin (python -m benchmarks.locust) -->", "<!-- locust: end -->"
SERVER_CORE, LOAD_CORE = "0", "1"
HEADS = ["load", "tool", "answered", "counted by the server", "failed", "requests/s", "p50 ms", "p99 ms", "CPU µs/req"]
Row = tuple[Load, str, Told, int, float]


def main() -> int:
    options = _options()
    if not LOCUST.exists():
        print("nothing measured: Locust is not installed; `make bench-locust` installs it")
        return 1
    payloads = Payloads(options.repository.resolve(), SERVING.build)
    move_to(LOAD_CORE)
    loads = [Load(200, 1, options.seconds), Load(200, 32, options.seconds)]
    text = figures(measured(payloads, loads), options.seconds)
    print(text)
    if not options.quick:
        replace_figures(SERVING.page, text, BEGIN, END)
    return 0


def measured(payloads: Payloads, loads: list[Load]) -> list[Row]:
    """Every load by every tool, on one server that keeps running."""
    (server,) = (each for each in all_servers(payloads, 1) if each.name == "digits-native")
    rows = []
    with ExitStack() as stack:
        running = stack.enter_context(Running(server, SERVER_CORE, SERVING.build / "locust-server.log"))
        running.first_answer(payloads.images[:1])
        for load in loads:
            for tool, run in TOOLS.items():
                before, cpu = _answered(running), cpu_seconds(running.pid)
                told = run(running.address, load, LOAD_CORE)
                counted = _answered(running) - before
                spent = (cpu_seconds(running.pid) - cpu) / max(1, counted) * 1e6
                rows.append((load, tool, told, counted, spent))
    return rows


def _answered(running: Running) -> int:
    """Predict RPCs that the server says it has answered with OK."""
    with urllib.request.urlopen(f"http://127.0.0.1:{running.port + 2}/metrics", timeout=10) as page:
        text = page.read().decode()
    wanted = {"grpc_method": "Predict", "grpc_code": "OK"}
    return sum(
        int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "grpc_server_handled_total" and wanted.items() <= sample.labels.items()
    )


def figures(rows: list[Row], seconds: int) -> str:
    """Everything between the markers."""
    lines = [
        [
            f"{load.rate} requests/s of {load.images} image{'s' * (load.images > 1)}",
            tool,
            f"{told.requests:,}",
            f"{counted:,}",
            str(told.failed),
            f"{told.rate:.0f}",
            f"{told.p50:.1f}",
            f"{told.p99:.1f}",
            f"{spent:.0f}",
        ]
        for load, tool, told, counted, spent in rows
    ]
    how = (
        f"{datetime.now(UTC):%Y-%m-%d}, {seconds} s a load, native transport, the server on core 0, the tool on core 1:"
    )
    return f"{how}\n\n{table(HEADS, lines)}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.locust", description=__doc__)
    parser.add_argument("--repository", type=Path, default=ROOT / "models", help="model repository to serve from")
    parser.add_argument("--quick", action="store_true", help="only print; the page stays as it is")
    parser.add_argument("--seconds", type=int, default=10, help="that one load lasts")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
