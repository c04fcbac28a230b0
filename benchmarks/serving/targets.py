"""What the server is held to, as ratios within one run: absolute figures drift with the machine."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.serving.figures import ratio
from benchmarks.serving.results import Results, Round, figure


@dataclass(frozen=True)
class Target:
    """`figure` of a round, held against `bound`: at most so much, or at least."""

    what: str
    figure: Callable[[Round], float | None]
    bound: float
    at_least: bool = False
    unit: str = "×"

    def measured(self, results: Results) -> float | None:
        return results.median_by_round(self.figure)

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


def of_transport(transport: str) -> list[Target]:
    """The targets of `digits-server --transport …`."""
    return _GRPCIO if transport == "grpcio" else _ENVOY


def _over(ours: str, theirs: str, *path: str) -> Callable[[Round], float | None]:
    return lambda measured: ratio(figure(measured, ours, *path), figure(measured, theirs, *path))


def _alone(server: str, *path: str) -> Callable[[Round], float | None]:
    return lambda measured: figure(measured, server, *path)


def _beside(server: str) -> Callable[[Round], float | None]:
    return lambda measured: ratio(
        figure(measured, server, "beside_large", "beside_p99_ms"),
        figure(measured, server, "beside_large", "alone_p99_ms"),
    )


def echo_and_network(measured: Round) -> float | None:
    """Images per second that the Envoy echo and the network could do together on one core, 1,024 at a time."""
    echo = figure(measured, "echo-envoy", "batch_1024", "images_per_second")
    network = figure(measured, "network", "1024")  # µs
    return None if not echo or not network else 1 / (1 / echo + network / 1e6 / 1024)


CPU = ("single_64", "cpu_us")
P50 = ("single_1", "p50_ms")
BATCH_32 = ("batch_32", "images_per_second")
BATCH_1024 = ("batch_1024", "images_per_second")

_GRPCIO = [
    Target("CPU per request, 64 in flight ÷ bare grpc.aio echo", _over("digits-grpcio", "echo-grpcio", *CPU), 1.25),
    Target("p50, 1 in flight ÷ bare grpc.aio echo", _over("digits-grpcio", "echo-grpcio", *P50), 1.25),
    Target("p50, 1 in flight ÷ Triton", _over("digits-grpcio", "triton", *P50), 0.25),
    Target("images/s, 32 per request ÷ Triton", _over("digits-grpcio", "triton", *BATCH_32), 1.4, at_least=True),
    Target("images/s, 1,024 per request ÷ Triton", _over("digits-grpcio", "triton", *BATCH_1024), 2.5, at_least=True),
    Target("p99 of one image beside 1,024-image requests ÷ alone", _beside("digits-grpcio"), 3),
    Target("start-up to first answer", _alone("digits-grpcio", "startup_s"), 1, unit=" s"),
    Target("resident memory", _alone("digits-grpcio", "footprint", "rss_mb"), 120, unit=" MB"),
]

_ENVOY = [
    Target("CPU per request, 64 in flight ÷ C++ echo", _over("digits-envoy", "echo-cpp", *CPU), 2.5),
    Target("p50, 1 in flight ÷ Envoy echo", _over("digits-envoy", "echo-envoy", *P50), 1.25),
    Target("images/s, 32 per request ÷ Triton", _over("digits-envoy", "triton", *BATCH_32), 5, at_least=True),
    Target(
        "images/s, 1,024 per request ÷ what the Envoy echo and the network allow together",
        lambda measured: ratio(figure(measured, "digits-envoy", *BATCH_1024), echo_and_network(measured)),
        0.6,
        at_least=True,
    ),
    Target("p99 of one image beside 1,024-image requests ÷ alone", _beside("digits-envoy"), 3),
    Target("start-up to first answer", _alone("digits-envoy", "startup_s"), 1.5, unit=" s"),
    Target("resident memory", _alone("digits-envoy", "footprint", "rss_mb"), 220, unit=" MB"),
]
