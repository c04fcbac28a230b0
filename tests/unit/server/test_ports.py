"""If the server cannot listen on an address, the error says why; a folder for a socket is found if there is one."""

import errno
import os
import socket
from pathlib import Path

import pytest

from digits_server.errors import AddressUnavailable, OperatorError
from digits_server.system import socket_folder as folders
from digits_server.system.ports import claim_port, hold_port, listen, unavailable, why_unavailable
from digits_server.system.socket_folder import MAX_PATH_BYTES, socket_folder


def reason(host: str, port: int) -> str:
    with pytest.raises(AddressUnavailable) as caught:
        hold_port(host, port, "calls").close()
    assert caught.value.message == why_unavailable(host, port, "calls").message
    return caught.value.message


def test_a_taken_port_is_asked_about() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert reason("127.0.0.1", port) == f"cannot listen for calls on 127.0.0.1:{port}: is the port taken?"


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", "x" * 300])
def test_a_name_that_does_not_resolve_is_reported(host: str) -> None:
    assert reason(host, 50051).endswith(f"the name {host} does not resolve to an address")


def test_an_address_of_another_machine_is_reported() -> None:
    assert reason("192.0.2.1", 50051).endswith("this machine has no such address")


@pytest.mark.parametrize(
    ("number", "port", "words"),
    [
        (errno.EACCES, 80, "ports below 1024 need the capability CAP_NET_BIND_SERVICE; choose a higher one"),
        (errno.EACCES, 8080, "Permission denied"),
        (errno.EMFILE, 8080, "Too many open files"),
    ],
)
def test_an_error_of_the_system_is_passed_on(number: int, port: int, words: str) -> None:
    error = unavailable("127.0.0.1", port, "HTTP", OSError(number, os.strerror(number)))
    assert error.message == f"cannot listen for HTTP on 127.0.0.1:{port}: {words}"


def resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Makes every name resolve to these addresses."""

    def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 0, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    ("addresses", "bound"),
    [
        (("127.0.0.1", "::1"), ["127.0.0.1", "::1"]),
        (("::1", "127.0.0.1", "::1"), ["::1", "127.0.0.1"]),
        (("2001:db8::1", "127.0.0.1"), ["127.0.0.1"]),
        (("192.0.2.1", "::1"), ["::1"]),
    ],
)
def test_a_name_is_listened_to_on_each_address_that_this_machine_has(
    addresses: tuple[str, ...], bound: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves_to(monkeypatch, *addresses)
    listening = listen("any.example", 0, "HTTP", shared=False, backlog=1)
    try:
        assert [each.getsockname()[0] for each in listening] == bound
        assert len({each.getsockname()[1] for each in listening}) == 1
    finally:
        for each in listening:
            each.close()


def test_a_name_without_an_address_of_this_machine_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves_to(monkeypatch, "192.0.2.1", "2001:db8::1")
    with pytest.raises(AddressUnavailable, match="this machine has no such address"):
        listen("any.example", 0, "HTTP", shared=False, backlog=1)


def test_a_port_that_is_taken_on_one_address_of_several_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        port = other.getsockname()[1]
        resolves_to(monkeypatch, "127.0.0.1", "::1")
        with pytest.raises(AddressUnavailable, match="is the port taken"):
            listen("any.example", port, "HTTP", shared=False, backlog=1)
    listening = listen("any.example", port, "HTTP", shared=False, backlog=1)  # the failed attempt left nothing open
    for each in listening:
        each.close()


def test_a_port_is_claimed_once_and_where_there_are_no_abstract_names_never() -> None:
    with hold_port("127.0.0.1", 0, "calls") as held, claim_port(held), pytest.raises(AddressUnavailable):
        claim_port(held)

    class Refusing(socket.socket):
        def bind(self, _address: object) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with hold_port("127.0.0.1", 0, "calls") as held, pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", Refusing)
        claim_port(held).close()


def test_a_socket_has_a_short_path_though_tmpdir_is_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    folder = socket_folder("streams")
    try:
        assert len(bytes(folder / "streams")) <= MAX_PATH_BYTES
        assert list(long.iterdir()) == []
    finally:
        folder.rmdir()


def test_with_no_folder_to_write_in_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "PLACES", (str(tmp_path / "missing"),))
    with pytest.raises(OperatorError, match="set TMPDIR"):
        socket_folder("streams")
