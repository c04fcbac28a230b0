"""The figures as Markdown."""

from collections.abc import Callable, Mapping

from benchmarks.common.figures import ratio
from benchmarks.common.tables import ABSENT, number, table
from benchmarks.serving.results import Results, Round, figure
from benchmarks.serving.scenarios import VARIANT_LOADS
from benchmarks.serving.targets import of_server

THROUGHPUT = {
    "1 in flight: p50 ms": ("single_1", "p50_ms"),
    "p99 ms": ("single_1", "p99_ms"),
    "64 in flight: req/s": ("single_64", "requests_per_second"),
    "CPU µs/req": ("single_64", "cpu_us"),
    "of its core": ("single_64", "core_share"),
    "p50 ms ": ("single_64", "p50_ms"),
    "p99 ms ": ("single_64", "p99_ms"),
    "256 in flight: req/s": ("single_256", "requests_per_second"),
    "p99 ms  ": ("single_256", "p99_ms"),
}
BATCHES = {
    "32 per request: images/s": ("batch_32", "images_per_second"),
    "CPU µs/req": ("batch_32", "cpu_us"),
    "1,024 per request: images/s": ("batch_1024", "images_per_second"),
    "CPU µs/req ": ("batch_1024", "cpu_us"),
    "start-up s": ("startup_s",),
    "RSS MB": ("footprint", "rss_mb"),
    "PSS MB": ("footprint", "pss_mb"),
}
BESIDE = {
    "alone: p50 ms": ("beside_large", "alone_p50_ms"),
    "p99 ms": ("beside_large", "alone_p99_ms"),
    "beside 1,024-image requests: p50 ms": ("beside_large", "beside_p50_ms"),
    "p99 ms ": ("beside_large", "beside_p99_ms"),
    "the large requests: images/s": ("beside_large", "large_images_per_second"),
}


def per_server(results: Results, columns: Mapping[str, tuple[str, ...]]) -> str:
    rows = [
        [title, *(number(results.median(server, *path)) for path in columns.values())]
        for server, title in results.whole.items()
    ]
    return table(["server", *columns], rows)


def variants(results: Results) -> str:
    """What a part costs, or saves: servers without it, and their ratios within a round to the whole server."""
    rows = []
    for variant, server in results.variants.items():
        cells = [number(results.median(variant, "single_64", "cpu_us"))]
        for load in VARIANT_LOADS:
            share = results.median_by_round(_ratio_of(variant, server, load, "requests_per_second"))
            cells += [
                number(results.median(variant, load, "requests_per_second")),
                ABSENT if share is None else f"{share:.2f} ×",
            ]
        rows.append([results.titles[variant], *cells])
    head = ["server", "64 in flight: CPU µs/req", "req/s", "÷ whole", "256 in flight: req/s", "÷ whole "]
    return table(head, rows) if rows else ""


def _ratio_of(variant: str, server: str, *path: str) -> Callable[[Round], float | None]:
    return lambda measured: ratio(figure(measured, variant, *path), figure(measured, server, *path))


def network(results: Results) -> str:
    cells = [number(results.median("network", size)) for size in ("1", "32", "1024")]
    return table(["µs per call of", "1 image", "32 images", "1,024 images"], [["LiteRT, one thread", *cells]])


def open_loop(results: Results) -> str:
    rows = []
    for server, title in results.whole.items():
        for step in results.open_loop(server):
            share, offered = step["share"] or 0, number(step["offered"])
            figures = [number(step[key]) for key in ("p50", "p99", "late_p99")]
            rows.append([title, f"{share:.0%}", offered, *figures, f"{step['failed']:.0f} of {step['requests']:.0f}"])
    head = ["server", "of its capacity", "offered req/s", "p50 ms", "p99 ms", "generator late, p99 ms", "failed"]
    return table(head, rows)


def targets(results: Results, server: str) -> str:
    rows = []
    for target in of_server(server):
        value = target.measured(results)
        verdict = ABSENT if value is None else "met" if target.met(value) else "**missed**"
        bound = f"{'≥' if target.at_least else '≤'} {target.bound:g}{target.unit}"
        rows.append([target.what, bound, ABSENT if value is None else number(value) + target.unit, verdict])
    return table([results.titles[server], "target", "measured", ""], rows)
