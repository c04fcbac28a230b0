"""`python -m benchmarks.lifecycle`: 100 swaps under load and the cost of a shadow, over both transports.

Writes the figures between the two markers of docs/models.md.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.common.cores import move_to
from benchmarks.common.paths import ROOT, SERVING
from benchmarks.loads.payloads import Payloads

sys.path.append(str(ROOT / "tests"))  # the tests have versions with different answers

from benchmarks.lifecycle import page, shadowing, swaps

TRANSPORTS = ("grpcio", "native")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path("models"), help="model repository (default: models)")
    parser.add_argument("--server-core", default="0", help="core of the server (default: 0)")
    parser.add_argument("--load-core", default="1", help="core of the load generators (default: 1)")
    parser.add_argument("--swaps", type=int, default=100, help="versions published under load, at most 120")
    parser.add_argument("--seconds", type=float, default=50.0, help="of the load during the swaps, at most 55")
    parser.add_argument("--pairs", type=int, default=15, help="runs with and without a shadow, in turns")
    parser.add_argument("--no-page", action="store_true", help="print the figures and leave the page as it is")
    chosen = parser.parse_args()
    move_to(chosen.load_core)
    payloads = Payloads(chosen.repository.resolve(), SERVING.build / "lifecycle")
    swapped, shadowed = [], []
    for transport in TRANSPORTS:
        with tempfile.TemporaryDirectory(prefix="digits-lifecycle-") as folder:
            place = swaps.Place(Path(folder), transport, chosen.server_core, chosen.load_core)
            swapped.append(swaps.run(place, payloads, count=chosen.swaps, seconds=chosen.seconds))
            shadowed.append(shadowing.run(place, payloads, pairs=chosen.pairs))
    text = page.figures(swapped, shadowed)
    print(text)
    if not chosen.no_page:
        page.rewrite(text)


if __name__ == "__main__":
    main()
