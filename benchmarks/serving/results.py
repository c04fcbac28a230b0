"""The raw figures of a run, and medians over its rounds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.common.figures import median_of

Round = dict[str, dict[str, Any]]
"""Server → scenario → figures, as rounds.py made them."""


def figure(measured: Round, server: str, *path: str) -> float | None:
    """One figure of one round, or None where it was not measured."""
    found: Any = measured.get(server)
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return float(found) if found is not None else None


@dataclass(frozen=True)
class Results:
    """A whole run.

    date      day it ran, ISO 8601
    minutes   it took
    options   how it was called
    machine   what it ran on
    titles    server → its name in tables, in their order
    variants  server with one part taken out → the server that it is otherwise
    skipped   title → why it was not measured
    rounds    raw figures
    """

    date: str
    minutes: float
    options: dict[str, Any]
    machine: dict[str, str]
    titles: dict[str, str]
    variants: dict[str, str]
    skipped: dict[str, str]
    rounds: list[Round]

    @property
    def whole(self) -> dict[str, str]:
        """The titles of the servers in their own right."""
        return {name: title for name, title in self.titles.items() if name not in self.variants}

    def median(self, server: str, *path: str) -> float | None:
        return self.median_by_round(lambda measured: figure(measured, server, *path))

    def median_by_round(self, of: Callable[[Round], float | None]) -> float | None:
        """The median of what `of` makes of each round: where ratios are taken within one."""
        return median_of([of(measured) for measured in self.rounds])

    def open_loop(self, server: str) -> list[dict[str, float | None]]:
        """The open-loop runs of a server, lowest rate first: medians over the rounds."""
        runs = [found for measured in self.rounds if (found := measured.get(server, {}).get("open_loop"))]
        return [{key: median_of([run[key] for run in step]) for key in step[0]} for step in zip(*runs, strict=True)]

    def errors(self) -> list[str]:
        """What went wrong, one line for each server and round."""
        return [
            f"{self.titles[server]}, round {number}: {error}"
            for number, measured in enumerate(self.rounds, 1)
            for server in self.titles
            if (error := measured.get(server, {}).get("error"))
        ]

    def dumps(self) -> str:
        """JSON, with five digits of every figure: the sixth is noise."""
        rounded = json.loads(json.dumps(asdict(self)), parse_float=lambda text: float(f"{float(text):.5g}"))
        return json.dumps(rounded, indent=1) + "\n"

    @classmethod
    def loads(cls, text: str) -> Results:
        return cls(**json.loads(text))
