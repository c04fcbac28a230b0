"""`python -m benchmarks.client`: measures the client side by side and rewrites the figures in docs/client.md."""

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.client import page
from benchmarks.client.rounds import Plan, run_round
from benchmarks.common import machine
from benchmarks.common.cores import move_to
from benchmarks.common.paths import CLIENT, ROOT
from benchmarks.common.report import last_run
from benchmarks.loads.payloads import Payloads


def main() -> int:
    options = _options()
    if options.report:
        page.rewrite(json.loads(last_run(CLIENT.results)))
        return 0
    payloads = Payloads(options.repository.resolve(), CLIENT.build)
    move_to(options.load_cores)
    plan = Plan(options.server_cores, options.load_cores, options.seconds)
    begin = time.monotonic()
    rounds = [run_round(number, payloads, plan) for number in range(options.rounds)]
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "minutes": (time.monotonic() - begin) / 60,
        "seconds": options.seconds,
        "server_cores": options.server_cores,
        "load_cores": options.load_cores,
        "machine": machine.describe(),
        "rounds": rounds,
    }
    if options.quick:
        print(page.figures(results))
        return 0
    CLIENT.results.write_text(json.dumps(results, indent=1) + "\n")
    page.rewrite(results)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.client", description=__doc__)
    parser.add_argument("--repository", type=Path, default=ROOT / "models", help="model repository to serve from")
    parser.add_argument("--quick", action="store_true", help="one short round, printed; the page stays as it is")
    parser.add_argument("--report", action="store_true", help="rewrite the page from the last run's raw figures")
    parser.add_argument("--rounds", type=int, help="(default 3; --quick: 1)")
    parser.add_argument("--seconds", type=float, help="that one load lasts (default 3; --quick: 1)")
    parser.add_argument("--server-cores", default="0", help="CPU list for servers, as taskset takes it")
    parser.add_argument("--load-cores", default="1", help="CPU list for callers")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (1.0 if options.quick else 3.0)
    return options


if __name__ == "__main__":
    sys.exit(main())
