"""From predictions a day to cores and bytes: what a day's load costs in each way of calling.

A day has a peak: the servers are sized for it, not for the average.
"""

from dataclasses import dataclass
from math import ceil

from benchmarks.common.tables import table
from benchmarks.scaling.arrangements import LOADS
from benchmarks.scaling.capacity import UTILISATION

DAYS = (10**9, 10**11)
"""Predictions a day that the page is about."""

PEAK = 3.0
"""The busiest second over the average one: an assumption: clients are mostly idle at night."""

SECONDS_A_DAY = 86_400
PIXEL_BYTES = 784
"""Of an image. Headers and frames add some tens of bytes to a request."""


@dataclass(frozen=True)
class Costs:
    """CPU µs of a request over the native transport; None where it was not measured.

    single        one image, called directly
    batch         as many images as a batch of the benchmark has, called directly
    envoy         one image, Envoy's part
    behind_envoy  one image, the server's part behind Envoy
    """

    single: float | None
    batch: float | None
    envoy: float | None
    behind_envoy: float | None


def cores(requests_per_second: float, cost_us: float) -> int:
    """The number of dedicated cores, each used to UTILISATION."""
    return ceil(requests_per_second * cost_us / 1e6 / UTILISATION)


def page_part(costs: Costs) -> str:
    """The table, with how it was calculated."""
    if costs.single is None or costs.batch is None or costs.envoy is None or costs.behind_envoy is None:
        return "Not measured: it takes the native transport and Envoy."
    images = LOADS["batch_32"].images
    how = (
        f"Native transport. A peak is {PEAK:g} times the average (assumed), and a core is used to {UTILISATION:.0%}. "
        f"CPU of a request: {costs.single:,.0f} µs of one image, {costs.batch:,.0f} µs of {images} images "
        f"({costs.batch / images:,.1f} µs an image); behind Envoy {costs.behind_envoy:,.0f} µs of one image, and "
        f"{costs.envoy:,.0f} µs more for Envoy."
    )
    rows = []
    for day in DAYS:
        average = day / SECONDS_A_DAY
        peak = PEAK * average
        proxied = f"{cores(peak, costs.behind_envoy):,} + {cores(peak, costs.envoy):,} for Envoy"
        rows.append(
            [
                f"{day:,}",
                f"{average:,.0f}",
                f"{peak:,.0f}",
                f"{cores(peak, costs.single):,}",
                proxied,
                f"{cores(peak / images, costs.batch):,}",
                f"{peak * PIXEL_BYTES * 8 / 1e9:,.2f}",
            ]
        )
    heads = ["predictions a day", "average a second", "peak a second", "cores, one image a request"]
    heads += ["the same through Envoy", f"cores, {images} images a request", "pixels at the peak, Gbit/s"]
    return f"{how}\n\n{table(heads, rows)}"
