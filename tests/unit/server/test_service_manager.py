"""A service manager that cannot be told: the server's log says so, and the server goes on."""

import logging

import pytest

from digits_server.system import service_manager


@pytest.mark.parametrize("path", ["/nowhere/notify", "@nowhere", "/" + "x" * 200])
def test_a_manager_that_is_not_there_is_only_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    monkeypatch.setenv(service_manager.SOCKET, path)
    service_manager.tell(service_manager.READY)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert vars(record)["state"] == service_manager.READY
