"""`python -m benchmarks.scaling`: replicas, workers and a proxy side by side; rewrites what docs/scaling.md shows."""

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.common import machine
from benchmarks.common.paths import ROOT, SCALING
from benchmarks.common.report import last_run
from benchmarks.loads.payloads import Payloads
from benchmarks.scaling import page
from benchmarks.scaling.rounds import run_round


def main() -> int:
    options = _options()
    if options.report:
        page.rewrite(json.loads(last_run(SCALING.results)))
        return 0
    payloads = Payloads(options.repository.resolve(), SCALING.build)
    begin = time.monotonic()
    rounds = [run_round(number, payloads, options.seconds) for number in range(options.rounds)]
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "minutes": (time.monotonic() - begin) / 60,
        "seconds": options.seconds,
        "machine": machine.describe(),
        "rounds": rounds,
    }
    if options.quick:
        print(page.figures(results))
        return 0
    SCALING.results.write_text(json.dumps(results, indent=1) + "\n")
    page.rewrite(results)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.scaling", description=__doc__)
    parser.add_argument("--repository", type=Path, default=ROOT / "models", help="model repository to serve from")
    parser.add_argument("--quick", action="store_true", help="one short round, printed; the page stays as it is")
    parser.add_argument("--report", action="store_true", help="rewrite the page from the last run's raw figures")
    parser.add_argument("--rounds", type=int, help="(default 3; --quick: 1)")
    parser.add_argument("--seconds", type=float, help="that one load lasts (default 2; --quick: 0.5)")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (0.5 if options.quick else 2.0)
    return options


if __name__ == "__main__":
    sys.exit(main())
