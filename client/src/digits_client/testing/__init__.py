"""For the tests of code that uses the client: a client with fixed answers, and a real server on free ports.

    from digits_client.testing import FakeClient

    with FakeClient([7, 3]) as client:  # no server, no network
        assert client.predict("digit.png").digit == 7

`pytest_plugins = ["digits_client.testing"]` in a conftest.py gives the fixture `digits_server`, which starts the real
server once for the whole run. pytest itself is imported only where pytest runs.
"""

import sys

from digits_client.testing._fakes import FakeAsyncClient, FakeClient
from digits_client.testing._fixed_answers import Answer
from digits_client.testing._server import CannotStart, LocalServer

if "pytest" in sys.modules:
    from digits_client.testing._plugin import digits_server as digits_server

__all__ = ["Answer", "CannotStart", "FakeAsyncClient", "FakeClient", "LocalServer"]
