"""How soon a client finds a new or returning server: counted by the connections and questions that arrive."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from support.client.both import Connect
from support.client.scripted import ScriptedServer
from support.network.names import NameServer
from support.pictures.pixels import IMAGE
from support.waiting import until

from digits_client import Client, ClientClosed, DigitsError


class Listener:
    """Accepts connections and counts them, but never answers. `closes`: it closes each at once."""

    def __init__(self, *, closes: bool) -> None:
        self.taken: list[socket.socket] = []
        self._closes = closes
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._socket.fileno() < 0:
            return
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        for each in self.taken:
            each.close()

    def _take(self) -> None:
        while True:
            try:
                taken = self._socket.accept()[0]
            except OSError:  # closed
                return
            self.taken.append(taken)
            if self._closes:
                taken.close()


@contextmanager
def listening(*, closes: bool) -> Iterator[Listener]:
    listener = Listener(closes=closes)
    try:
        yield listener
    finally:
        listener.close()


@contextmanager
def waiting(client: Client) -> Iterator[Callable[[], None]]:
    """Waits in a thread until the client is ready; then the returned future is done."""
    with ThreadPoolExecutor(1) as thread:
        ready = thread.submit(client.wait_ready, 50)
        yield lambda: ready.result(55)


def test_a_server_that_is_down_is_tried_at_the_same_pace_for_as_long_as_it_is_down(connect: Connect) -> None:
    """GRPC's own pauses grow to two minutes: the tenth attempt would come after more than one minute."""
    with listening(closes=True) as listener, waiting(connect(f"127.0.0.1:{listener.port}")) as until_ready:
        until(lambda: len(listener.taken) >= 20, "the client has tried to connect twenty times", 45)
        listener.close()
        with ScriptedServer(address=f"127.0.0.1:{listener.port}"):
            until_ready()


def test_a_server_that_takes_a_connection_and_stays_silent_is_soon_tried_anew(connect: Connect) -> None:
    """The twenty seconds that gRPC gives each attempt would leave time for two."""
    with listening(closes=False) as listener, waiting(connect(f"127.0.0.1:{listener.port}")) as until_ready:
        until(lambda: len(listener.taken) >= 3, "the client has tried to connect three times", 35)
        listener.close()
        with ScriptedServer(address=f"127.0.0.1:{listener.port}"):
            until_ready()


def test_waiting_ends_soon_after_the_servers_name_has_come(connect: Connect) -> None:
    """GRPC alone asks less and less often: its thirtieth question for a name would come after minutes."""
    with NameServer() as names, ScriptedServer() as script:
        client = connect(names.target(script.port))
        with waiting(client) as until_ready:
            until(lambda: names.questions >= 30, "the client has asked for the name thirty times", 45)
            names.addresses = ["127.0.0.1"]
            until_ready()
        assert client.predict(IMAGE).digit == 7
        assert client.health()


def test_a_client_that_is_closed_while_it_waits_for_a_name_waits_no_longer(connect: Connect) -> None:
    with NameServer() as names, ThreadPoolExecutor(1) as thread:
        client = connect(names.target(1))
        waiting = thread.submit(client.wait_ready, 50)
        until(lambda: names.questions >= 10, "the client has asked for the name ten times", 45)
        client.close()
        with pytest.raises(ClientClosed):
            waiting.result(45)


def test_a_server_that_has_moved_to_another_address_is_found_by_its_name(connect: Connect) -> None:
    """The thirty seconds that gRPC leaves between two questions would be too long."""
    with NameServer("127.0.0.1") as names:
        with ScriptedServer() as first:
            port = first.port
            client = connect(names.target(port))
            assert client.predict(IMAGE).digit == 7
        with ScriptedServer(address=f"127.0.0.2:{port}"):
            names.addresses = ["127.0.0.2"]
            until(lambda: answers(client), "the server is called at its new address", 20)


def answers(client: Client) -> bool:
    try:
        return client.predict(IMAGE, timeout=1).digit == 7
    except DigitsError:
        return False
