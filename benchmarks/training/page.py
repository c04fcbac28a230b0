"""Writes the figures of results.json between two markers of docs/training.md; the rest is written by hand."""

from statistics import median
from typing import Any

from benchmarks.common.paths import TRAINING
from benchmarks.common.report import replace_figures

BEGIN = "<!-- figures: begin (python -m benchmarks.training) -->"
COLUMNS = [
    *("network", "parameters", "accuracy on the test set: median", "lowest to highest", "seeds"),
    *("seconds: median", "lowest to highest", "CPU seconds: median", "largest spread of a label's recall"),
]
Results = dict[str, Any]


def rewrite(results: Results) -> None:
    """Puts the results into the page."""
    replace_figures(TRAINING.page, figures(results), BEGIN)


def figures(results: Results) -> str:
    """A table of the networks, and where each was measured."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    lines += [_row(network, measured["runs"]) for network, measured in results.items()]
    places = [_place(network, measured["machine"]) for network, measured in results.items()]
    return "\n".join(lines) + "\n\n" + "\n".join(places)


def _row(network: str, runs: list[dict[str, Any]]) -> str:
    accuracies, seconds = ([run[name] for run in runs] for name in ("test_accuracy", "seconds"))
    spread = max(max(recalls) - min(recalls) for recalls in zip(*(run["recalls"] for run in runs), strict=True))
    cells = [
        network,
        f"{runs[0]['parameters']:,}",
        f"{median(accuracies):.2%}",
        f"{min(accuracies):.2%} to {max(accuracies):.2%}",
        str(len(runs)),
        f"{median(seconds):.0f}",
        f"{min(seconds):.0f} to {max(seconds):.0f}",
        f"{median(run['cpu_seconds'] for run in runs):.0f}",
        f"{spread:.3f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _place(network: str, machine: dict[str, str]) -> str:
    return (
        f"- {network}: {machine['date']}, {machine['CPU']}; load average {machine['load']} at the end of the last run."
    )
