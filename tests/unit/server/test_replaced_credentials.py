"""The certificate, its key and the authorities are replaced at every step of a reload: never a mixture."""

import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.network.certificates import Authority, Folder, Pair

from digits_server.security.reloading import Reloading
from digits_server.security.tls import Identity, http_context, identity
from digits_server.settings import Settings

NAMES = ("tls.crt", "tls.key", "ca.crt")
LOOKS = 8
STEPS = LOOKS * len(NAMES) + 1
"""One more than the number of files that these checks open: the last step is after all of them."""


class AtEachOpen:
    """Calls a function when the process opens a file for the Nth time. Python keeps such hooks: it ends by itself."""

    def __init__(self) -> None:
        self._step: Callable[[], None] | None = None
        self._left = 0
        sys.addaudithook(self._hook)

    def arm(self, at: int, step: Callable[[], None] | None) -> None:
        self._left, self._step = at, step

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and self._step and str(arguments[0]).endswith(NAMES):
            self._left -= 1
            if self._left < 0:
                step, self._step = self._step, None
                step()


@pytest.fixture(scope="module")
def at_each_open() -> AtEachOpen:
    return AtEachOpen()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def put(folder: Folder, pair: Pair) -> None:
    """Each file by a rename."""
    for name, content in (("tls.crt", pair.certificate), ("tls.key", pair.key)):
        (folder.path / "new").write_bytes(content)
        (folder.path / "new").replace(folder.path / name)


def shown(context: ssl.SSLContext, authority: Authority) -> bytes:
    """The certificate of a server with this context, from a successful handshake."""
    client = ssl.create_default_context(cadata=authority.certificate.decode())
    client.check_hostname = False
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = client.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for end in (caller, server, caller):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    certificate = caller.getpeercert(binary_form=True)
    assert certificate
    return certificate


def leaf(certificate: bytes) -> bytes:
    end = b"-----END CERTIFICATE-----\n"
    return ssl.PEM_cert_to_DER_cert((certificate.partition(end)[0] + end).decode())


@pytest.mark.parametrize("step", range(STEPS))
def test_files_replaced_at_any_step_of_a_reload_are_shown_whole_or_not_at_all(
    tmp_path: Path, authority: Authority, at_each_open: AtEachOpen, step: int
) -> None:
    pairs = [authority.sign() for _ in range(3)]
    own = {pair.certificate: pair.key for pair in pairs}
    folder = Folder(tmp_path / "tls")
    folder.put(pairs[0], authority)
    path = folder.path
    settings = Settings(tls_certificate=path / "tls.crt", tls_key=path / "tls.key", tls_client_ca=path / "ca.crt")
    files = identity(settings)
    assert files
    context = http_context(files)
    told: list[Identity] = []
    files.tell(told.append)
    put(folder, pairs[1])
    at_each_open.arm(step, lambda: put(folder, pairs[2]))
    try:
        look_until_settled(files)
    finally:
        at_each_open.arm(0, None)
    look_until_settled(files)  # the replacement may have happened at one of the last checks
    assert told
    for new in told:
        assert own[new.certificate] == new.key
    assert told[-1].certificate == (path / "tls.crt").read_bytes()
    assert shown(context, authority) == leaf(told[-1].certificate)


def look_until_settled(files: Reloading[Identity]) -> None:
    """Does the same as `watch`, without the pauses."""
    for _ in range(LOOKS):
        if files._renew():
            for listener in files._told:
                listener(files.value)
