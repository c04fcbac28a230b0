"""What the server is held to, as ratios within one run: absolute figures drift with the machine."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.common.figures import ratio
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


def of_server(name: str) -> list[Target]:
    """The targets of one of our servers, by its key in the raw figures."""
    return {"digits-native": _NATIVE, "digits-grpcio": _GRPCIO, "digits-native-envoy": _BEHIND_ENVOY}[name]


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
    """Images per second that the native echo and the network could do together on one core, 1,024 at a time."""
    echo = figure(measured, "echo-native", "batch_1024", "images_per_second")
    network = figure(measured, "network", "1024")  # µs
    return None if not echo or not network else 1 / (1 / echo + network / 1e6 / 1024)


CPU = ("single_64", "cpu_us")
CPU_256 = ("single_256", "cpu_us")
P50 = ("single_1", "p50_ms")
BATCH_32 = ("batch_32", "images_per_second")
BATCH_1024 = ("batch_1024", "images_per_second")

NATIVE, GRPCIO, BEHIND_ENVOY = "digits-native", "digits-grpcio", "digits-native-envoy"

_NATIVE = [
    Target("CPU per request, 64 in flight ÷ C++ echo", _over(NATIVE, "echo-cpp", *CPU), 0.9),
    Target("CPU per request, 256 in flight ÷ C++ echo", _over(NATIVE, "echo-cpp", *CPU_256), 1.0),
    Target("p50, 1 in flight ÷ C++ echo", _over(NATIVE, "echo-cpp", *P50), 1.4),
    Target("images/s, 32 per request ÷ Triton", _over(NATIVE, "triton", *BATCH_32), 6, at_least=True),
    Target(
        "images/s, 1,024 per request ÷ what the native echo and the network allow together",
        lambda measured: ratio(figure(measured, NATIVE, *BATCH_1024), echo_and_network(measured)),
        0.6,
        at_least=True,
    ),
    Target("p99 of one image beside 1,024-image requests ÷ alone", _beside(NATIVE), 3),
    Target("start-up to first answer", _alone(NATIVE, "startup_s"), 0.6, unit=" s"),
    Target("resident memory", _alone(NATIVE, "footprint", "rss_mb"), 90, unit=" MB"),
]

_GRPCIO = [
    Target("CPU per request, 64 in flight ÷ bare grpc.aio echo", _over(GRPCIO, "echo-grpcio", *CPU), 1.0),
    Target("p50, 1 in flight ÷ bare grpc.aio echo", _over(GRPCIO, "echo-grpcio", *P50), 1.15),
    Target("p50, 1 in flight ÷ Triton", _over(GRPCIO, "triton", *P50), 0.1),
    Target("images/s, 32 per request ÷ Triton", _over(GRPCIO, "triton", *BATCH_32), 1.8, at_least=True),
    Target("images/s, 1,024 per request ÷ Triton", _over(GRPCIO, "triton", *BATCH_1024), 2.5, at_least=True),
    Target("p99 of one image beside 1,024-image requests ÷ alone", _beside(GRPCIO), 5),
    Target("start-up to first answer", _alone(GRPCIO, "startup_s"), 0.8, unit=" s"),
    Target("resident memory", _alone(GRPCIO, "footprint", "rss_mb"), 110, unit=" MB"),
]

_BEHIND_ENVOY = [
    Target("CPU of both per request, 64 in flight ÷ C++ echo", _over(BEHIND_ENVOY, "echo-cpp", *CPU), 3),
]
