"""docs/runbook.md has a section for every alert: its meaning, where to look and what to do."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
LINES_OF_A_SCREEN = 50


def alerts() -> list[str]:
    """Every alert, in the order of the files."""
    files = [ROOT / f"deploy/prometheus/rules/{name}.yml" for name in ("alerts", "envoy")]
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule["alert"] for group in groups for rule in group["rules"]]


def test_every_alert_has_its_screen_and_no_other_is_there() -> None:
    sections = re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert [name for name, _ in sections] == alerts()
    for name, text in sections:
        assert len(text.splitlines()) < LINES_OF_A_SCREEN, name
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Meaning", "Look", "Do"], name
        assert "```bash" in text.partition("**Look.**")[2], name


def test_the_table_of_alerts_leads_to_every_screen() -> None:
    operating = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    for name in alerts():
        assert f"| [`{name}`](runbook.md#{name.lower()}) |" in operating


def test_rules_of_other_files_raise_no_alert() -> None:
    others = [file for file in (ROOT / "deploy/prometheus/rules").glob("*.yml") if file.stem not in ("alerts", "envoy")]
    assert not [file.name for file in others if "alert:" in file.read_text()]
