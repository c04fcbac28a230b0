"""From what a request costs to how many servers a load needs.

A server on one core only computes: it answers at most 1 / cost requests per second. Past some share of that, requests
wait for each other, and the share up to which they do not is what an objective for latency allows.
"""

from dataclasses import dataclass
from math import ceil

UTILISATION = 0.6
"""Of its core that a server may use at the peak. The open-loop figures of docs/performance.md say what p99 that gives;
the autoscaler of deploy/kubernetes aims at it too."""

SPARE = 1
"""Replicas beyond what the peak needs: one may die, be rolled or have its node emptied at any time."""


@dataclass(frozen=True)
class Plan:
    """How many replicas of one core a peak needs.

    peak      requests per second
    capacity  requests per second of one replica at UTILISATION
    needed    replicas, without the spare ones
    """

    peak: float
    capacity: float
    needed: int

    @property
    def replicas(self) -> int:
        return self.needed + SPARE


def plan(peak: float, cost_us: float) -> Plan:
    """For requests that take `cost_us` µs of CPU each."""
    capacity = UTILISATION * 1e6 / cost_us
    return Plan(peak, capacity, ceil(peak / capacity))
