"""promtool finds the shipped Prometheus files valid, and the alerts fire when they should."""

import re
from pathlib import Path

import pytest
from support.needs import said_by

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"


@pytest.mark.parametrize("file", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda file: file.stem)
def test_the_rules_pass_their_unit_tests(file: Path) -> None:
    assert "SUCCESS" in said_by("promtool", "test", "rules", file)


def test_every_alert_has_a_unit_test() -> None:
    rules = [line for file in (PROMETHEUS / "rules").glob("*.yml") for line in file.read_text().splitlines()]
    alerts = [line for line in rules if "- alert: " in line]
    tests = [line for file in (PROMETHEUS / "tests").glob("*.yml") for line in file.read_text().splitlines()]
    assert len(alerts) > 11
    for alert in alerts:
        assert f"      - alertname: {alert.split()[-1]}" in tests


def test_the_scrape_configuration_finds_the_rules() -> None:
    said = said_by("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    files = list((PROMETHEUS / "rules").glob("*.yml"))
    assert f"{len(files)} rule files found" in said
    for file in files:
        count = len(re.findall(r"- (?:alert|record): ", file.read_text()))
        assert f"{count} rules found" in said
