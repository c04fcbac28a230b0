"""Merges the metrics of several processes into those of one server: counters are added, gauges merged by their meaning.

It works on families of samples as plain JSON, without Prometheus's classes or sockets. The counts of a process that has
ended are kept (`lasting`), so that a total never goes down.
"""

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from operator import itemgetter
from typing import NotRequired, TypedDict

Value = float | Fraction
Sample = tuple[str, dict[str, str], Value]
"""Name, labels, value."""

Example = tuple[str, dict[str, str], dict[str, str], float, float]
"""An exemplar: name and labels of its sample, then its own labels, its value, its time (seconds since 1970)."""

_EXAMPLE_TIME = itemgetter(4)

_Key = tuple[str, tuple[tuple[str, str], ...]]


class Family(TypedDict):
    """One metric, as on a page for Prometheus."""

    name: str
    help: str
    type: str
    samples: list[Sample]
    examples: NotRequired[list[Example]]


COUNTING = frozenset({"counter", "histogram", "summary"})
"""Types that only grow, and whose totals are kept when their process ends."""

VERSIONED = frozenset(
    {
        "digits_predictions",
        "digits_version_confidence",
        "digits_version_request_seconds",
        "digits_version_failures",
    }
)
"""The families that count by version. A process forgets versions that left long ago."""

VERSION = "model_version"
"""Their label."""

DEPARTED_VERSIONS = 8
"""How many versions that no process reports any longer stay on the page."""

GAUGES: dict[str, Callable[[Iterable[Value]], Value]] = {
    "digits_queue_images": sum,
    "digits_queue_limit_images": sum,
    "digits_model_info": max,  # 1 for each version that serves anywhere
    "digits_model_load_seconds": max,
    "digits_model_pinned_version": max,
    "digits_training_label_share": max,
    "digits_tls_certificate_expiry_seconds": min,
    "process_virtual_memory_bytes": sum,
    "process_resident_memory_bytes": sum,
    "process_start_time_seconds": min,  # the start of the server: that of its oldest process
    "process_open_fds": sum,
    "process_max_fds": sum,  # so that open files divided by the limit is still a share
}
"""How the values of a gauge from several processes become one."""


def merge(reports: Iterable[list[Family]]) -> list[Family]:
    """One family for each name and one sample for each set of labels, in the order of their first appearance.

    Of several examples of a sample, the latest is kept.

    Sums are exact: floats added in another order may differ in the last bit, and Prometheus takes a total that is one
    bit smaller for a restart. So the values of counting families are fractions; `rounded` makes floats of them.
    """
    families: dict[str, Family] = {}
    values: dict[str, dict[_Key, list[Value]]] = {}
    examples: dict[str, list[Example]] = {}
    for family in (family for report in reports for family in report):
        name = family["name"]
        families.setdefault(name, {**family, "samples": []})
        merged = values.setdefault(name, {})
        for sample, labels, value in family["samples"]:
            merged.setdefault(_key(sample, labels), []).append(value)
        examples.setdefault(name, []).extend(family.get("examples", ()))
    for name, family in families.items():
        one = _total if family["type"] in COUNTING else GAUGES.get(name, max)
        family["samples"] = [(sample, dict(labels), one(same)) for (sample, labels), same in values[name].items()]
        latest = {_key(example[0], example[1]): example for example in sorted(examples[name], key=_EXAMPLE_TIME)}
        family["examples"] = list(latest.values())
    return list(families.values())


def lasting(report: list[Family]) -> list[Family]:
    """The part of a process's metrics that stays in the totals when it has ended."""
    return [family for family in report if family["type"] in COUNTING]


def vanished(before: list[Family], after: list[Family]) -> list[Family]:
    """Counts that a living process reported before, but no longer: it has forgotten the version."""
    told = {_key(sample, labels) for family in _versioned(after) for sample, labels, _ in family["samples"]}
    forgotten: list[Family] = []
    for family in _versioned(before):
        samples = [item for item in family["samples"] if _key(item[0], item[1]) not in told]
        if samples:
            forgotten.append({**family, "samples": samples})
    return forgotten


def pruned(left: list[Family], live: Iterable[list[Family]]) -> list[Family]:
    """`left` without old versions that no process reports any longer; the newest few of them are kept.

    A version leaves the page as a whole, because a part of it would make a total go down.
    """
    told = _versions(family for report in live for family in report)
    gone = sorted(_versions(left) - told, key=int)[:-DEPARTED_VERSIONS]
    return [
        {**family, "samples": [sample for sample in family["samples"] if sample[1].get(VERSION) not in gone]}
        for family in left
    ]


def rounded(report: list[Family]) -> list[Family]:
    """The same families with floats as values."""
    return [
        {**family, "samples": [(sample, labels, float(value)) for sample, labels, value in family["samples"]]}
        for family in report
    ]


def _versioned(report: Iterable[Family]) -> list[Family]:
    return [family for family in report if family["name"] in VERSIONED]


def _versions(report: Iterable[Family]) -> set[str]:
    return {labels[VERSION] for family in _versioned(report) for _, labels, _ in family["samples"]}


def _key(sample: str, labels: dict[str, str]) -> _Key:
    return sample, tuple(sorted(labels.items()))


def _total(values: Iterable[Value]) -> Value:
    same = list(values)
    if all(math.isfinite(value) for value in same):
        return sum((Fraction(value) for value in same), Fraction())
    return sum(map(float, same))
