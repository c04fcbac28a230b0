"""Two servers on fixed ports, which they use again after a restart, and a default client of both."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from digits_client import Client
from support.network.ports import free_port
from support.servers.process import ServerProcess
from support.waiting import until

LOOK_SECONDS = 0.25
"""Time between two looks at a server's metrics. The page takes milliseconds of the server, and of the client in this
process, so more looks would delay calls."""


class Pair:
    """Two ready servers of `repository`."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._ports = [free_port(), free_port()]
        self.servers = [self._start(place) for place in range(2)]

    @property
    def target(self) -> str:
        """Names both, for any gRPC client."""
        return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self._ports)

    def start_again(self, place: int) -> None:
        """Starts the server that ended; returns when it has answered a call of a client."""
        server = self.servers[place] = self._start(place)
        until(lambda: has_predicted(server), "the client has found the server again", 60, pause=LOOK_SECONDS)

    def _start(self, place: int) -> ServerProcess:
        server = ServerProcess("--repository", self._repository, "--grpc-port", str(self._ports[place]))
        return server.__enter__().wait_ready()

    def kill(self) -> None:
        for server in self.servers:
            server.kill()


def has_predicted(server: ServerProcess) -> bool:
    """Whether a prediction is counted. It does not parse the whole page."""
    counted = [line for line in server.get("/metrics")[1].splitlines() if line.startswith("digits_predictions_total")]
    return any(not line.endswith(" 0.0") for line in counted)


@contextmanager
def pair_and_client(repository: Path) -> Iterator[tuple[Pair, Client]]:
    with ExitStack() as ending:
        pair = Pair(repository)
        ending.callback(pair.kill)
        yield pair, ending.enter_context(Client(pair.target))
