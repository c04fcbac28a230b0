"""An alert arrives: a real server, the shipped Prometheus and Alertmanager configuration, and the example receiver."""

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.needs import said_by
from support.network.certificates import Authority, Folder
from support.programs.alertmanager import DEPLOY, alert_log, alertmanager
from support.programs.prometheus import PrometheusProcess
from support.servers.process import ServerProcess
from support.waiting import until

CONFIGURATION = DEPLOY / "alertmanager.yml"


def test_a_certificate_near_its_end_reaches_the_receiver(repository: Path, tmp_path: Path) -> None:
    files = Folder(tmp_path / "tls")
    files.put(Authority().sign(not_after=datetime.now(UTC) + timedelta(days=3)))
    with (
        alert_log() as received,
        alertmanager(tmp_path, received.address) as address,
        ServerProcess("--repository", repository, *files.flags) as server,
    ):
        target = server.wait_ready().http.removeprefix("http://")
        (tmp_path / "prometheus").mkdir()
        with PrometheusProcess([target], tmp_path / "prometheus", address):
            until(lambda: bool(received.lines), "the receiver prints the alert", 60)
    assert received.lines[0].startswith(f"firing warning DigitsCertificateExpires: The certificate of {target} expires")


def test_the_example_receiver_refuses_other_messages_and_prints_one_line_for_each_alert() -> None:
    alert = {"status": "firing", "labels": {"alertname": "A"}, "annotations": {"summary": "two\nlines"}}
    bodies = (b"", b"[]", b"{}", b'{"alerts": 1}', b'{"alerts": [{}]}', b'{"alerts": ["x"]}', b"x" * 1024)
    with alert_log() as received:
        for body in bodies:
            with pytest.raises(urllib.error.HTTPError, match="400") as refused:
                post(received.address, body)
            refused.value.close()
        assert post(received.address, json.dumps({"alerts": [alert]}).encode()) == 204
        until(lambda: bool(received.lines), "the alert is printed")
    assert received.lines == ["firing - A: two lines"]


def post(address: str, body: bytes) -> int:
    with urllib.request.urlopen(f"http://{address}/", data=body, timeout=30) as answer:
        return int(answer.status)


def test_the_configuration_is_valid_and_every_severity_has_a_receiver() -> None:
    assert "SUCCESS" in said_by("amtool", "check-config", CONFIGURATION)
    for severity in ("critical", "warning"):
        routed = said_by("amtool", "config", "routes", "test", f"--config.file={CONFIGURATION}", f"severity={severity}")
        assert routed.strip() == "webhook"
