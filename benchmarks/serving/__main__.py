"""`python -m benchmarks.serving`: measures everything and rewrites the figures in docs/performance.md."""

import argparse
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.common import machine
from benchmarks.common.cores import move_to
from benchmarks.common.native import NotBuilt, binary
from benchmarks.common.paths import ROOT, SERVING
from benchmarks.common.report import last_run
from benchmarks.loads.payloads import Payloads
from benchmarks.servers.catalogue import Server, all_servers, tool_missing
from benchmarks.serving import page
from benchmarks.serving.results import Results
from benchmarks.serving.rounds import Plan, run_round


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds the stack, which ends every server
    options = _options()
    if options.report:
        page.rewrite(Results.loads(last_run(SERVING.results)))
        return 0
    absent = tool_missing("h2load", "nghttp2-client")
    if absent:
        print(f"nothing measured: {absent}")
        return 1
    results = measure(options, Payloads(options.repository, SERVING.build))
    if options.quick or options.only:
        (SERVING.build / "partial.json").write_text(results.dumps())
        print("\n\n".join([*page.disturbed(results), page.sections(results)]))
    else:
        SERVING.results.write_text(results.dumps())
        page.rewrite(results)
    return 0


def measure(options: argparse.Namespace, payloads: Payloads) -> Results:
    """Every round of a run."""
    servers = [server for server in all_servers(payloads, options.workers) if _wanted(server, options.only)]
    skipped = {server.title: server.missing for server in servers if server.missing}
    try:
        binary("open_loop")
    except NotBuilt as error:
        skipped["open-loop load"] = str(error)
    for title, reason in skipped.items():
        print(f"skipped: {title}: {reason}", flush=True)
    # This process asks servers for their first answers: not on their core.
    move_to(options.load_cores)
    present = [server for server in servers if not server.missing]
    plan = Plan(options.server_cores, options.load_cores, options.seconds, "open-loop load" not in skipped)
    begin = time.monotonic()
    rounds = []
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", flush=True)
        rounds.append(run_round(number, present, payloads, plan))
    return Results(
        date=datetime.now(UTC).date().isoformat(),
        minutes=(time.monotonic() - begin) / 60,
        options={name: getattr(options, name) for name in ("seconds", "workers", "server_cores", "load_cores")},
        machine=machine.describe(),
        titles={server.name: server.title for server in present},
        variants={server.name: server.variant_of for server in present if server.variant_of},
        skipped=skipped,
        rounds=rounds,
    )


def _wanted(server: Server, only: list[str]) -> bool:
    return not only or server.name in only


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.serving", description=__doc__)
    parser.add_argument("--repository", type=Path, default=ROOT / "models", help="model repository to serve from")
    parser.add_argument("--quick", action="store_true", help="one short round, printed; the page stays as it is")
    parser.add_argument("--only", nargs="+", default=[], metavar="SERVER", help="measure these, print, leave the page")
    parser.add_argument("--report", action="store_true", help="rewrite the page from the last run's raw figures")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 3; --quick: 1)")
    parser.add_argument("--seconds", type=float, help="that one load lasts (default 1.5; --quick: 0.5)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of our server")
    parser.add_argument("--server-cores", default="0", help="CPU list for servers, as taskset takes it")
    parser.add_argument("--load-cores", default="1", help="CPU list for load generators")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (0.5 if options.quick else 1.5)
    options.repository = options.repository.resolve()
    return options


if __name__ == "__main__":
    sys.exit(main())
