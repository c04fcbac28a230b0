"""The values that settings take, and the reasons why a transport or an address cannot be used."""

import errno
import os
from importlib.machinery import ModuleSpec
from pathlib import Path

import click
import pytest

from digits_server.errors import OperatorError
from digits_server.setting_types import ENDPOINT, HOST, Canary, CanaryType
from digits_server.settings import Settings
from digits_server.system.ports import unavailable, why_unavailable
from digits_server.transports import choice


@pytest.mark.parametrize(
    ("written", "meant"), [("[::1]", "::1"), (" localhost ", "localhost"), ("::", "::"), ("[::", "[::")]
)
def test_a_host_may_have_brackets_and_space_around_it(written: str, meant: str) -> None:
    assert HOST.convert(written, None, None) == meant


@pytest.mark.parametrize("written", ["", " ", "[]"])
def test_an_empty_host_is_refused_with_the_form_that_means_every_address(written: str) -> None:
    with pytest.raises(click.BadParameter, match=":: is every address of this machine"):
        HOST.convert(written, None, None)


@pytest.mark.parametrize("url", ["collector:4317", "ftp://collector", "http://", "https://:4317"])
def test_an_endpoint_that_is_no_url_of_http_is_refused(url: str) -> None:
    with pytest.raises(click.BadParameter, match="expected http://host:port"):
        ENDPOINT.convert(url, None, None)
    assert ENDPOINT.convert("http://collector:4317", None, None) == "http://collector:4317"


def test_a_canary_that_is_one_already_is_kept() -> None:
    kind, canary = CanaryType(), Canary(5, 0.1)
    assert kind.convert("5=10%", None, None) == canary
    assert kind.convert(canary, None, None) is canary


def test_an_address_that_was_free_a_moment_later_is_explained() -> None:
    error = why_unavailable("127.0.0.1", 0, "calls")
    assert error.message == (
        "cannot listen for calls on 127.0.0.1:0: the transport does not accept this address, or another process took "
        "the port a moment ago"
    )


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EAFNOSUPPORT, "this machine has no IPv6"),
        (errno.EADDRNOTAVAIL, "this machine has no such address"),
        (errno.EADDRINUSE, "is the port taken?"),
    ],
)
def test_what_the_system_says_of_an_address_is_said_in_words(number: int, words: str) -> None:
    error = unavailable("::1", 80, "HTTP", OSError(number, os.strerror(number)))
    assert error.message == f"cannot listen for HTTP on ::1:80: {words}"


TLS = Path("tls.crt")


@pytest.mark.parametrize(
    ("settings", "installed", "name"),
    [
        (Settings(host="127.0.0.1"), True, "native"),
        (Settings(host="127.0.0.1"), False, "grpcio"),
        (Settings(host="127.0.0.1", tls_certificate=TLS), True, "grpcio"),
        (Settings(host="192.0.2.1"), True, "grpcio"),
        (Settings(host="192.0.2.1", transport="native"), True, "native"),
        (Settings(host="127.0.0.1", transport="grpcio"), True, "grpcio"),
    ],
)
def test_the_transport_goes_by_the_settings_and_by_what_is_installed(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, installed: bool, name: str
) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda library: ModuleSpec(library, None) if installed else None)
    assert choice.choose(settings).name == name


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (Settings(transport="native", tls_certificate=TLS), "--transport native has no TLS"),
        (Settings(transport="native"), "needs the package pygrpc-native, which this platform lacks"),
    ],
)
def test_a_transport_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, sentence: str
) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda _: None)
    with pytest.raises(OperatorError, match=sentence):
        choice.choose(settings)
