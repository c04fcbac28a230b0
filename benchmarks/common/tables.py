"""Tables and numbers as Markdown."""

from collections.abc import Iterable

ABSENT = "–"
"""The cell of a figure that was not measured."""


def number(value: float | None) -> str:
    """Three digits, and no more zeros than they need."""
    if value is None:
        return ABSENT
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.strip() for cell in line) + " |" for line in lines)
