"""The figures as one picture: CPU per request, throughput of batches, latency under load."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from benchmarks.serving.results import Results

COLOURS = {
    "digits-native": "#1f5fa8",
    "digits-grpcio": "#3f9be0",
    "digits-native-envoy": "#8cc4ef",
    "echo-native": "#7b8794",
    "echo-grpcio": "#9aa5b1",
    "echo-cpp": "#d5dae0",
    "triton": "#76b041",
}
SHORT = {
    "digits-native": "Digits, native",
    "digits-grpcio": "Digits, grpcio",
    "digits-native-envoy": "Digits behind Envoy",
    "echo-native": "echo: pygrpc-native",
    "echo-grpcio": "echo: grpc.aio",
    "echo-cpp": "echo: C++",
    "triton": "Triton",
}
BARS = {
    "CPU per request, 64 in flight (µs)": ("single_64", "cpu_us"),
    "Latency, 1 in flight, p50 (ms)": ("single_1", "p50_ms"),
    "Images per second, 32 a request": ("batch_32", "images_per_second"),
    "Images per second, 1,024 a request": ("batch_1024", "images_per_second"),
}


def draw(results: Results, path: Path) -> None:
    """Writes the picture as PNG."""
    sheet = Figure(figsize=(12, 9), layout="constrained")
    axes = sheet.subplot_mosaic([[0, 1], [2, 3], ["load", "load"]])
    for position, (title, path_of) in enumerate(BARS.items()):
        _bars(axes[position], title, {name: results.median(name, *path_of) for name in results.whole})
    _open_loop(axes["load"], results)
    sheet.suptitle("One server core, medians over interleaved rounds; echoes run no model", fontsize=11)
    sheet.savefig(path, dpi=110, metadata={"Software": None})  # no version: the file differs when the figures do


def _bars(axes: Any, title: str, values: dict[str, float | None]) -> None:
    present = {name: value for name, value in values.items() if value is not None}
    bars = axes.barh(
        [SHORT[name] for name in present], list(present.values()), color=[COLOURS[name] for name in present]
    )
    axes.bar_label(bars, labels=[f" {float(f'{value:.3g}'):,g}" for value in present.values()], fontsize=8)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.margins(x=0.15)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _open_loop(axes: Any, results: Results) -> None:
    for name in results.whole:
        steps = results.open_loop(name)
        rates = [step["offered"] for step in steps]
        if rates:
            axes.plot(rates, [step["p99"] for step in steps], "o-", color=COLOURS[name], label=SHORT[name])
            axes.plot(rates, [step["p50"] for step in steps], "o:", color=COLOURS[name])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("offered single-image requests per second, Poisson arrivals, at 25, 50, 75 and 90 % of capacity")
    axes.set_ylabel("ms from intended to answered")
    axes.set_title("Latency under load that does not wait: p99 solid, p50 dotted", fontsize=10)
    axes.grid(alpha=0.3, which="both")
    if axes.lines:
        axes.legend(fontsize=8)
