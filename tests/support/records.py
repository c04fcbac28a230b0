"""The table of tests/robustness/README.md: the figures of each promise, in each arrangement."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from support.servers.arrangements import ARRANGEMENTS

README = Path(__file__).parents[1] / "robustness" / "README.md"
SECURITY = Path(__file__).parents[2] / "SECURITY.md"
"""A page that repeats some rows of the table, each after its promise."""
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
NONE_YET = "–"
MISSED = " (**missed**)"


@dataclass
class Row:
    """One promise: the test file that checks it, and a figure for each measured arrangement."""

    promise: str
    test: str
    figures: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, line: str) -> Self:
        promise, test, *figures = (cell.strip() for cell in line.strip("|").split(" | "))
        known = {name: figure for name, figure in zip(ARRANGEMENTS, figures, strict=True) if figure != NONE_YET}
        return cls(promise, test.strip("`"), known)

    def __str__(self) -> str:
        figures = [self.figures.get(name, NONE_YET) for name in ARRANGEMENTS]
        return "| " + " | ".join([self.promise, f"`{self.test}`", *figures]) + " |"


@dataclass(frozen=True)
class Record:
    """Records the figures of one test file in one arrangement.

    page  the file with the table; None: figures are not kept, as those of a short run should not be
    """

    test: str
    arrangement: str
    page: Path | None

    def __call__(self, promise: str, figure: str, *, met: bool = True) -> None:
        """Puts `figure` in the row of `promise`, marked if it misses the promise. Other rows do not change."""
        if self.page is None:
            return
        before, rest = self.page.read_text(encoding="utf-8").split(BEGIN)
        table, after = rest.split(END)
        head, rows = table.strip().splitlines()[:2], [Row.parse(line) for line in table.strip().splitlines()[2:]]
        row = next((row for row in rows if (row.promise, row.test) == (promise, self.test)), None)
        if row is None:
            row = Row(promise, self.test)
            rows.append(row)
            rows.sort(key=lambda each: each.test)
        row.figures[self.arrangement] = figure + ("" if met else MISSED)
        lines = [BEGIN, "", *head, *map(str, rows), END]
        self.page.write_text(before + "\n".join(lines) + after, encoding="utf-8")
        repeat_figures(SECURITY, rows)


def repeat_figures(page: Path, rows: list[Row]) -> None:
    """Brings the rows that `page` repeats up to date."""
    current = {f"{row.promise} | `{row.test}`": str(row) for row in rows}
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        _, _, rest = line.removeprefix("| ").partition(" | ")
        if known := current.get(" | ".join(rest.split(" | ")[:2])):
            lines[number] = line[: len(line) - len(rest) - 2] + known
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
