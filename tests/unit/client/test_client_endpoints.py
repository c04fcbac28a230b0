"""A client refuses incomplete TLS settings and invalid targets before anything is sent."""

from pathlib import Path
from typing import Any

import pytest
from support.network.certificates import Authority

from digits_client import AsyncClient, Client, Misused
from digits_client._connection.channel import Endpoint

PEM = Authority().certificate
KEY = Authority().sign().key
ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nanVuaw==\n-----END ENCRYPTED PRIVATE KEY-----\n"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "half",
    [
        {"root_certificates": b""},
        {"root_certificates": b"junk"},
        {"root_certificates": "absent.pem"},
        {"root_certificates": 7},
        {"root_certificates": KEY},
        {"root_certificates": b"-----BEGIN CERTIFICATE-----\nanVuaw==\n-----END CERTIFICATE-----\n"},
        {"root_certificates": b"-----BEGIN CERTIFICATE-----\n*\xff*\n-----END CERTIFICATE-----\n"},
        {"root_certificates": PEM + PEM[:300] + b"-----END CERTIFICATE-----\n"},
        {"certificate_chain": PEM, "private_key": PEM},
        {"certificate_chain": PEM, "private_key": ENCRYPTED},
        {"private_key": PEM},
        {"certificate_chain": PEM},
        {"certificate_chain": PEM, "private_key": b""},
        {"server_name": "digits.test"},
        {"server_name": "", "tls": True},
    ],
    ids=" and ".join,
)
def test_half_a_tls_is_misused_before_anything_is_sent(kind: Any, half: dict[str, Any]) -> None:
    with pytest.raises(Misused, match=next(iter(half)) if len(half) == 1 and "chain" not in str(half) else None):
        kind("localhost:1", **half)


def test_a_certificate_may_be_given_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    path.write_bytes(PEM)
    assert Endpoint(target="a:1", root_certificates=path) == Endpoint(target="a:1", root_certificates=PEM)
    assert Endpoint(target="a:1", root_certificates=str(path)) == Endpoint(target="a:1", root_certificates=PEM)


def test_a_string_with_a_pem_block_is_its_content() -> None:
    assert Endpoint(target="a:1", root_certificates=PEM.decode()) == Endpoint(target="a:1", root_certificates=PEM)


def test_a_key_in_the_file_of_its_certificate_is_found_in_it() -> None:
    both = KEY + PEM
    assert Endpoint(target="a:1", certificate_chain=both, private_key=both).private_key == both


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("localhost", "localhost:50051"),
        (" localhost:50051\n", "localhost:50051"),
        ("127.0.0.1", "127.0.0.1:50051"),
        ("::1", "[::1]:50051"),
        ("fe80::1%eth0", "[fe80::1%eth0]:50051"),
        ("[::1]", "[::1]:50051"),
        ("[::1]:1", "[::1]:1"),
        ("unix:/run/digits.sock", "unix:/run/digits.sock"),
        ("dns:///a.example:1", "dns:///a.example:1"),
        ("ipv4:127.0.0.1:1,127.0.0.2:1", "ipv4:127.0.0.1:1,127.0.0.2:1"),
    ],
)
def test_a_target_without_a_port_means_the_default_port(written: str, meant: str) -> None:
    assert Endpoint(target=written).target == meant


@pytest.mark.parametrize("target", ["", " ", "http://localhost:50051", "https://a.example", "a b:1"])
def test_an_invalid_target_is_refused_with_the_expected_form(target: str) -> None:
    with pytest.raises(Misused, match="expected host:port"):
        Client(target)
