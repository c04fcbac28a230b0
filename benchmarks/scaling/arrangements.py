"""What is measured: servers on cores, what calls them from which cores, and whether a proxy stands between.

A machine of two cores has none to spare for the callers. So every caller shares the core of the server it calls: two
replicas on two cores are compared with one replica on one, and both pay for their callers.
"""

from dataclasses import dataclass

from benchmarks.loads.closed_loop import Load


@dataclass(frozen=True)
class Arrangement:
    """One way to serve.

    title      its name in tables
    transport  of the servers
    replicas   the cores of each replica, a CPU list
    workers    of each replica
    callers    the cores of each load generator; they take the addresses there are in turn
    proxied    whether they call the proxy, which then is the only address
    """

    title: str
    transport: str
    replicas: tuple[str, ...]
    callers: tuple[str, ...]
    workers: int = 1
    proxied: bool = False

    @property
    def cores(self) -> int:
        return len(set(self.callers))


TRANSPORTS = ("grpcio", "native")


def arrangements(*, workers: bool = True) -> dict[str, Arrangement]:
    """All of them by their keys in the raw figures, without several workers where a server offers none."""
    found = {}
    for transport in TRANSPORTS:
        name = f"{transport} transport"
        found[f"{transport}-one"] = Arrangement(f"{name}, one replica", transport, ("0",), ("0",))
        found[f"{transport}-two"] = Arrangement(f"{name}, two replicas", transport, ("0", "1"), ("0", "1"))
        found[f"{transport}-workers"] = Arrangement(
            f"{name}, one replica of two workers", transport, ("0-1",), ("0", "1"), workers=2
        )
        found[f"{transport}-proxied"] = Arrangement(
            f"{name}, two replicas behind Envoy", transport, ("0", "1"), ("0", "1"), proxied=True
        )
        found[f"{transport}-three-proxied"] = Arrangement(
            f"{name}, three replicas behind Envoy", transport, ("0", "1", "0-1"), ("0", "1"), proxied=True
        )
    return {name: each for name, each in found.items() if workers or each.workers == 1}


LOADS = {
    "one_at_a_time": Load(1, 1, 1),
    "single": Load(4, 8, 1),
    "batch_32": Load(2, 4, 32),
}
"""Of each load generator."""
