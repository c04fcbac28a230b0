"""docs/client.md: the figures between its two markers are a run's, the rest is written by hand."""

from collections.abc import Sequence
from typing import Any

from benchmarks.common.figures import median_of, ratio
from benchmarks.common.paths import CLIENT
from benchmarks.common.report import replace_figures

BEGIN = "<!-- figures: begin (python -m benchmarks.client) -->"
TITLES = {
    "coalescing": "`AsyncClient`",
    "alone": "`AsyncClient(coalescing=None)`",
    "stub": "bare `grpc.aio` stub",
    "threads": "`Client`, a thread each",
    "threads-alone": "`Client(coalescing=None)`, a thread each",
    "triton": "`tritonclient.grpc.aio`, calling Triton",
}
VERSIONS = ("CPU", "kernel", "Python", "grpcio", "protobuf", "numpy", "nvidia-pytriton")
Results = dict[str, Any]
Round = dict[str, Any]


def rewrite(results: Results) -> None:
    """Puts the figures of a run into the page."""
    replace_figures(CLIENT.page, figures(results), BEGIN)


def figures(results: Results) -> str:
    """Everything between the markers."""
    rounds = results["rounds"]
    machine = "; ".join(f"{name} {results['machine'][name]}" for name in VERSIONS if name in results["machine"])
    how = (
        f"Measured {results['date']} in {results['minutes']:.0f} minutes: medians of {len(rounds)} rounds, "
        f"{results['seconds']:g} s a load, servers on core {results['server_cores']}, callers on core "
        f"{results['load_cores']}. {machine}."
    )
    parts = [how, targets(rounds), singles(rounds), one_at_a_time(rounds), batches(rounds)]
    skipped = [f"- not measured: {name}: {reason}" for name, reason in rounds[0]["skipped"].items()]
    return "\n\n".join([*parts, *skipped])


def targets(rounds: list[Round]) -> str:
    """Each target and the measured figure."""
    rate = "images_per_second"
    times = _median_ratio(rounds, ("256", "coalescing", rate), ("256", "triton", rate))
    share = _median_ratio(rounds, ("batch", "Client"), ("server_images_per_second",))
    one = {client: _times(_median(rounds, "one", client, "ratio"), 2) for client in ("Client", "AsyncClient")}
    rows = [
        ("256 single calls in flight: images/s beside tritonclient", "≥ 20 ×", _times(times)),
        ("one call at a time: `Client` beside a bare stub, latency", "≤ 1.10 ×", one["Client"]),
        ("the same, `AsyncClient`", "≤ 1.10 ×", one["AsyncClient"]),
        ("`import digits_client` once grpc is imported", "< 0.3 s", f"{_text(_median(rounds, 'import_seconds'), 2)} s"),
        ("70,000 images in one call: share of the server's best", "≥ 70 %", "–" if share is None else f"{share:.0%}"),
    ]
    return _table(["target", "", "measured"], rows)


def singles(rounds: list[Round]) -> str:
    """Images/s, latency and the caller's CPU, one image a call, by calls in flight."""
    rows = [
        (
            load,
            title,
            _text(_median(rounds, load, name, "images_per_second")),
            _text(_median(rounds, load, name, "p50_ms"), 2),
            _text(_median(rounds, load, name, "p99_ms"), 2),
            _text(_median(rounds, load, name, "cpu_us")),
        )
        for load in ("1", "64", "256")
        for name, title in TITLES.items()
        if name in rounds[0][load]
    ]
    return _table(["in flight", "one image a call", "images/s", "p50, ms", "p99, ms", "caller's CPU, µs a call"], rows)


def one_at_a_time(rounds: list[Round]) -> str:
    """Blocks of both in turns, in one process."""
    rows = [
        (
            f"`{client}`",
            _text(_median(rounds, "one", client, "stub_p50_us")),
            _text(_median(rounds, "one", client, "client_p50_us")),
            _times(_median(rounds, "one", client, "ratio"), 2),
        )
        for client in ("Client", "AsyncClient")
    ]
    return _table(["one at a time", "bare stub, p50, µs", "client, p50, µs", "ratio"], rows)


def batches(rounds: list[Round]) -> str:
    """70,000 images in one call, compared with h2load on the same server."""
    rows = [(f"`{name}.predict_batch`", _text(_median(rounds, "batch", name))) for name in ("Client", "AsyncClient")]
    rows.append(("the server's best, h2load", _text(_median(rounds, "server_images_per_second"))))
    return _table(["70,000 images", "images/s"], rows)


def _figure(measured: Round, *path: str) -> float | None:
    """One figure of one round, or None where it was not measured."""
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


def _times(value: float | None, places: int = 1) -> str:
    return "–" if value is None else f"{value:.{places}f} ×"


def _table(header: list[str], rows: Sequence[Sequence[str]]) -> str:
    lines: list[Sequence[str]] = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
