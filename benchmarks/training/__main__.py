"""Trains networks with several seeds each, with the command that users type; rewrites the figures in docs/training.md.

The time is that of the whole command, from start to published version: TensorFlow's import, training, conversion,
proof, report. Run it on an idle machine. Results of networks that are not named stay.

    .venv/bin/python -m benchmarks.training
    .venv/bin/python -m benchmarks.training --networks cnn --seeds 5
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.common.machine import date_and_load
from benchmarks.training import page
from benchmarks.training.accuracy import train
from digits_training.settings.networks import NETWORKS

RESULTS = Path(__file__).with_name("results.json")
"""In git, unlike the results of other suites: a run of one network keeps the figures of the others."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["mlp", "cnn"])
    parser.add_argument("--seeds", type=int, default=5, help="runs of each network, with seeds 0, 1, …")
    parser.add_argument("--page", action="store_true", help="only rewrite the page from the last results")
    chosen = parser.parse_args()

    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for network in [] if chosen.page else chosen.networks:
        runs = []
        for seed in range(chosen.seeds):
            runs.append(train(network, seed))
            print(f"{network} seed {seed}: {json.dumps(runs[-1])}", flush=True)
            results[network] = {"machine": date_and_load(), "runs": runs}
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    page.rewrite(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
