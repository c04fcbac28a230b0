"""The block of docs/models.md that a run writes."""

from collections import Counter
from datetime import UTC, datetime
from statistics import median

import grpc

from benchmarks.common.machine import describe
from benchmarks.common.paths import ROOT
from benchmarks.common.report import replace_figures
from benchmarks.lifecycle.shadowing import Shadowing
from benchmarks.lifecycle.swaps import ROUNDS, SHARE, Swapping
from benchmarks.loads.open_loop import Queueing

PAGE = ROOT / "docs" / "models.md"
BEGIN = "<!-- figures: begin (python -m benchmarks.lifecycle) -->"

NAMES = {status.value[0]: status.name for status in grpc.StatusCode}


def rewrite(text: str) -> None:
    """Puts `text` between the markers of the page."""
    replace_figures(PAGE, text, BEGIN)


def figures(swapped: list[Swapping], shadowed: list[list[Shadowing]]) -> str:
    machine = "; ".join(f"{name} {text}" for name, text in describe().items())
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d}: {machine}. Server and load on a core each.",
        "",
        f"| swaps at {SHARE:.0%} of capacity, one-image requests | {' | '.join(each.transport for each in swapped)} |",
        f"|---|{'---|' * len(swapped)}",
        *(f"| {name} | {' | '.join(cells)} |" for name, cells in _rows(swapped)),
        "",
        "| throughput lost to a shadow (target: at most 5 %) | median of pairs | each pair |",
        "|---|---|---|",
    ]
    for each in (each for found in shadowed for each in found):
        pairs = ", ".join(f"{1 - b / a:.1%}" for a, b in zip(each.without, each.beside, strict=True))
        what = f"{each.transport}, {each.load.in_flight} requests of {each.load.images} in flight"
        lines.append(f"| {what} | {each.cost:.1%} | {pairs} |")
    return "\n".join(lines)


def requests(spans: list[Queueing]) -> int:
    return sum(span.requests for span in spans)


def failed(spans: list[Queueing]) -> str:
    """How many, and with which statuses."""
    told = sum((span.told for span in spans), Counter())
    return f"{told.total()}" + (f" ({', '.join(f'{n} {NAMES[code]}' for code, n in told.items())})" if told else "")


def p99s(spans: list[Queueing]) -> list[float]:
    return [span.p99 or 0.0 for span in spans]


def _rows(swapped: list[Swapping]) -> list[tuple[str, list[str]]]:
    quiet, swapping = [p99s(each.quiet) for each in swapped], [p99s(each.swapping) for each in swapped]
    return [
        (
            "requests per second offered, of the capacity",
            [f"{e.swapping[0].offered:,.0f} of {e.capacity:,.0f}" for e in swapped],
        ),
        ("swaps, versions seen answering", [f"{e.swaps}, {e.versions}" for e in swapped]),
        ("requests during the swaps, failed", [f"{requests(e.swapping):,}, {failed(e.swapping)}" for e in swapped]),
        ("requests in the quiet, failed", [f"{requests(e.quiet):,}, {failed(e.quiet)}" for e in swapped]),
        ("answers checked, mixed, missing", [f"{e.checked:,}, {e.mixed}, {e.unanswered}" for e in swapped]),
        (f"p99 quiet, median of {ROUNDS} rounds (highest)", [f"{median(q):.2f} ms ({max(q):.1f})" for q in quiet]),
        (
            "p99 during the swaps, the same (target: at most 2 × quiet)",
            [
                f"{median(s):.2f} ms, {median(s) / median(q):.1f} × ({max(s):.1f})"
                for q, s in zip(quiet, swapping, strict=True)
            ],
        ),
        (
            "resident memory before, after (target: at most + 10 %)",
            [f"{e.memory[0]:.0f}, {e.memory[1]:.0f} MB, {e.memory[1] / e.memory[0] - 1:+.1%}" for e in swapped],
        ),
    ]
