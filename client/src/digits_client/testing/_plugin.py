"""The fixture for pytest."""

from collections.abc import Iterator

import pytest

from digits_client.testing._server import CannotStart, LocalServer


@pytest.fixture(scope="session")
def digits_server() -> Iterator[LocalServer]:
    """A real server of the installed model on free ports, one for the whole run: `Client(digits_server.target)`.

    The test fails, with a sentence that says what to install, if digits-server or digits-model is missing.
    """
    server = LocalServer()
    try:
        server.__enter__()
    except CannotStart as error:
        pytest.fail(f"the fixture digits_server: {error}", pytrace=False)
    try:
        yield server
    finally:
        server.__exit__(None, None, None)
