"""Tokens: which files and which metadata of a call are accepted, and what is kept of them."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_server.errors import OperatorError, Unauthenticated
from digits_server.security.access import Access
from digits_server.security.authentication import Guard, ports_in_plaintext, token_file
from digits_server.security.credentials import Credentials
from digits_server.security.reloading import MAX_FILE_BYTES
from digits_server.service.calls import PlainCall
from digits_server.settings import Settings

GOOD = "dGhpcyBpcyBhIHRva2Vu"


def guard(settings: Settings) -> Guard:
    files = Credentials.read(settings)
    return Guard(files.callers, files.scrapers, open_paths=settings.http_open.split(","))


def read(path: Path, content: bytes, http_open: str = "") -> Guard:
    path.write_bytes(content)
    return guard(Settings(tokens=path, http_open=http_open))


def let_in(known: Guard, authorization: str | None, path: str = "/v2", access: Access = Access.CALLERS) -> bool:
    try:
        known.admit_to(access, path, authorization)
    except Unauthenticated:
        return False
    return True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.mark.parametrize(
    "content", [GOOD, f"{GOOD}\n", f"\n# one\n\n  {GOOD}\t\r\n#two", f"other-token-{GOOD}==\n{GOOD}"]
)
def test_a_file_has_a_token_a_line_and_may_have_comments(path: Path, content: str) -> None:
    assert let_in(read(path, content.encode()), f"Bearer {GOOD}")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# only a comment\n", b" \t \n"])
def test_a_file_without_a_token_is_refused_for_it_would_lock_everybody_out(path: Path, content: bytes) -> None:
    with pytest.raises(OperatorError, match="there is no token"):
        read(path, content)


@pytest.mark.parametrize(
    "line", [b"short", b"fifteen-letters", b"two words of a token", b"a" * 513, b"\xff" * 20, b"\0" * 20, b"=" * 20]
)
def test_an_invalid_line_of_tokens_is_named_by_its_number_only(path: Path, line: bytes) -> None:
    with pytest.raises(OperatorError, match="line 2") as caught:
        read(path, GOOD.encode() + b"\n" + line)
    assert line.decode("latin-1") not in caught.value.message


def test_a_file_over_the_limit_is_refused(path: Path) -> None:
    with pytest.raises(OperatorError, match="bytes"):
        read(path, b"#" * (MAX_FILE_BYTES + 1))


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(OperatorError, match="--tokens: cannot read"):
        guard(Settings(tokens=tmp_path / name))


@given(st.text(max_size=40))
def test_no_other_field_opens_anything(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    known = read(tmp_path_factory.getbasetemp() / "hypothesis-tokens", GOOD.encode())
    assert not let_in(known, text)
    assert not let_in(known, f"Bearer {text}") or text == GOOD
    assert not let_in(known, None)


def test_no_token_is_kept_in_memory_as_it_is(path: Path) -> None:
    path.write_text(GOOD)
    tokens = token_file("--tokens", path)
    assert tokens
    assert GOOD not in repr(vars(tokens)) + repr(tokens.value)


@pytest.mark.parametrize(
    ("path_asked", "is_open"),
    [
        ("/", True),
        ("/static/page.js", True),
        ("/static/", True),
        ("/static", False),
        ("/v2", False),
        ("/statics", False),
    ],
)
def test_open_paths_are_exact_or_all_that_begin_so(path: Path, path_asked: str, is_open: bool) -> None:
    assert let_in(read(path, GOOD.encode(), "/,/static/*"), None, path_asked) == is_open


def test_without_tokens_every_caller_is_accepted() -> None:
    known = guard(Settings())
    assert let_in(known, None)
    known.admit(PlainCall())


def test_tokens_of_scrapers_alone_close_the_metrics_and_nothing_else(path: Path) -> None:
    path.write_text(GOOD)
    known = guard(Settings(metrics_tokens=path))
    assert not let_in(known, None, "/metrics", Access.SCRAPERS)
    assert let_in(known, f"Bearer {GOOD}", "/metrics", Access.SCRAPERS)
    assert let_in(known, None)
    known.admit(PlainCall())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "digits.example.org"])  # noqa: S104 - nothing listens
def test_tokens_in_plaintext_on_a_network_are_known_as_such(host: str) -> None:
    plain = Settings(host=host, tokens=Path("tokens"))
    tls = replace(plain, tls_certificate=Path("tls.crt"), tls_key=Path("tls.key"))
    assert ports_in_plaintext(plain) == ["gRPC", "HTTP"]
    assert ports_in_plaintext(tls) == ["HTTP"]
    assert ports_in_plaintext(replace(tls, http_tls=True)) == []
    assert ports_in_plaintext(replace(plain, tokens=None, metrics_tokens=Path("tokens"))) == ["HTTP"]
    assert ports_in_plaintext(replace(plain, tokens=None)) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_tokens_that_never_leave_the_machine_are_no_concern(host: str) -> None:
    assert ports_in_plaintext(Settings(host=host, tokens=Path("tokens"))) == []
