"""Which targets are on this machine: a token goes in plaintext only to those."""

import pytest

from digits_client._connection.tokens import stays_here


@pytest.mark.parametrize(
    "target",
    [
        "localhost:50051",
        "localhost",
        "127.0.0.1:50051",
        "127.8.9.10:1",
        "[::1]:50051",
        "dns:///localhost:50051",
        "dns:localhost:50051",
        "dns://10.0.0.1/127.0.0.1:50051",
        "ipv4:127.0.0.1:50051,127.0.0.2:50051",
        "ipv6:[::1]:50051",
        "unix:/run/digits.sock",
        "unix:///run/digits.sock",
        "unix-abstract:digits",
    ],
)
def test_on_this_machine(target: str) -> None:
    assert stays_here(target)


@pytest.mark.parametrize(
    "target",
    [
        "digits.example.org:50051",
        "localhost.example.org:50051",
        "10.0.0.1:50051",
        "0.0.0.0:50051",
        "[2001:db8::1]:50051",
        "dns:///digits.example.org:50051",
        "dns://127.0.0.1/digits.example.org:50051",
        "ipv4:127.0.0.1:50051,10.0.0.1:50051",
        "ipv6:[::1]:50051,[2001:db8::1]:50051",
        "xds:///localhost",
        "127.0.0.1.example.org:50051",
        "unix",
        "",
    ],
)
def test_elsewhere(target: str) -> None:
    assert not stays_here(target)
