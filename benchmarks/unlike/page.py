"""The figures as Markdown: what the networks answer, how well each score separates, what thresholds do."""

import numpy as np

from benchmarks.unlike.figures import Scores, auroc, refused, threshold_that_catches, threshold_that_refuses
from benchmarks.unlike.kinds import Kind

SURE = 0.9
"""A confidence that callers may take for certain."""

HARD = ("letters", "clothes")
"""Kinds for which the threshold is shown that catches most of them."""

Table = dict[str, dict[str, Scores]]
"""Scores by the name of the candidate and the title of the kind."""


def by_candidate(by_kind: dict[str, dict[str, Scores]]) -> Table:
    """The scores of all kinds, by candidate."""
    first = next(iter(by_kind.values()))
    return {name: {kind: found[name] for kind, found in by_kind.items()} for name in first}


def confidences(kinds: list[Kind], answers: dict[str, list[Scores]]) -> str:
    """A row for each kind, with the confidences of each network, float64[N] a kind."""
    lines = [
        "| images | number | "
        + " | ".join(f"{name}: median confidence | {name}: above {SURE:.0%}" for name in answers),
        "|---|---|" + "---|---|" * len(answers),
    ]
    lines[0] += " |"
    for place, kind in enumerate(kinds):
        cells = [f"{np.median(of[place]):.1%} | {(of[place] > SURE).mean():.0%}" for of in answers.values()]
        lines.append(f"| {kind.title} | {len(kind.images):,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def separation(table: Table, good: list[str], unlike: list[str]) -> str:
    """AUROC of each candidate for each kind of unlike image, against each kind of good one."""
    lines = [f"| AUROC against {' / '.join(good)} | " + " | ".join(unlike) + " |", "|---|" + "---|" * len(unlike)]
    for name, scores in table.items():
        cells = [" / ".join(f"{auroc(scores[kind], scores[against]):.3f}" for against in good) for kind in unlike]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def thresholds(table: Table, good: list[str], unlike: list[str]) -> str:
    """What each candidate refuses at the threshold that catches most of a kind, and at the one that spares MNIST."""
    mnist, *others = good
    heads = [f"{' / '.join(good)} refused where 95% of {kind} are caught" for kind in HARD]
    heads += [f"{kind} refused at 1% of {mnist}" for kind in others]
    heads += [f"{kind} caught" for kind in unlike]
    lines = ["| score | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for name, scores in table.items():
        cells = []
        for kind in HARD:
            catching = threshold_that_catches(scores[kind])
            cells.append(" / ".join(_percent(refused(scores[of], catching)) for of in good))
        sparing = threshold_that_refuses(scores[mnist])
        cells += [_percent(refused(scores[kind], sparing)) for kind in (*others, *unlike)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def above_1(scores: dict[str, Scores]) -> str:
    """What the served score refuses of each kind, at the threshold that comes with it."""
    heads, cells = scores.keys(), [_percent(float((of > 1).mean())) for of in scores.values()]
    return f"| `unlike` above 1 | {' | '.join(heads)} |\n{'|---' * (1 + len(heads))}|\n| share | {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return f"{share:.1%}"
