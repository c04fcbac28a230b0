"""docs/performance.md: the figures between its two markers are a run's, the rest is written by hand."""

from benchmarks.common.paths import SERVING
from benchmarks.common.report import replace_figures
from benchmarks.serving import tables
from benchmarks.serving.plot import draw
from benchmarks.serving.results import Results

BEGIN = "<!-- figures: begin (make bench) -->"

QUIET_SHARE = 0.7
"""The share of its core that a server uses with 64 in flight on an idle machine; 0.75 and more were measured."""


def rewrite(results: Results) -> None:
    """Draws the plot and puts the figures of a run into the page."""
    draw(results, SERVING.plot)
    replace_figures(SERVING.page, figures(results), BEGIN)


def figures(results: Results) -> str:
    """Everything between the markers."""
    return "\n\n".join(
        [_ran_on(results), *disturbed(results), f"![The figures as a plot]({SERVING.plot.name})", sections(results)]
    )


def disturbed(results: Results) -> list[str]:
    """A warning if a server used clearly less than its core although 64 requests were always in flight."""
    shares = {name: results.median(name, "single_64", "core_share") for name in results.whole}
    short = [f"{results.titles[name]} {share:.0%}" for name, share in shares.items() if share and share < QUIET_SHARE]
    if not short:
        return []
    return [
        f"**Something else ran on this machine.** Of their core, servers had with 64 in flight: {'; '.join(short)}."
    ]


def sections(results: Results) -> str:
    """The tables alone."""
    parts = {
        "Targets": "\n\n".join(tables.targets(results, name) for name in _ours(results)),
        "Single images": tables.per_server(results, tables.THROUGHPUT),
        "What metrics cost, and what batching, uvloop and scheduling save": tables.variants(results),
        "Batches, start-up, memory": tables.per_server(results, tables.BATCHES),
        "The network alone": tables.network(results),
        "One image beside large requests": tables.per_server(results, tables.BESIDE),
        "Latency under load that does not wait": tables.open_loop(results),
    }
    missing = [f"- {title}: {reason}" for title, reason in results.skipped.items()]
    missing += [f"- {error}" for error in results.errors()]
    if missing:
        parts["Not measured"] = "\n".join(missing)
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in parts.items() if text)


def _ours(results: Results) -> list[str]:
    return [name for name in results.whole if name.startswith("digits-")]


def _ran_on(results: Results) -> str:
    options = results.options
    how = (
        f"Measured {results.date} in {results.minutes:.0f} minutes, rounds: {len(results.rounds)}, "
        f"{options['seconds']:g} s a load. Servers ran on core {options['server_cores']}, ours with "
        f"{options['workers']} worker, load generators on core {options['load_cores']}."
    )
    return f"{how}\n\n" + "\n".join(f"- {name}: {text}" for name, text in results.machine.items())
