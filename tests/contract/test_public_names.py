"""No public name changes unnoticed: the code has exactly the names of public_names.json.

docs/compatibility.md says how a name is removed. To add one: PYTHONPATH=tests .venv/bin/python -m support.public_names
"""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from support.public_names import LIST, public_names

from digits_server.settings import Settings

ROOT = Path(__file__).parents[2]


def test_the_code_has_exactly_the_listed_names() -> None:
    assert public_names() == json.loads(LIST.read_text())


def test_the_operating_page_has_every_metric_of_ours() -> None:
    page = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    ours = [name for name in json.loads(LIST.read_text())["metrics"] if name.startswith(("digits_", "grpc_"))]
    assert len(ours) > 20
    assert [name for name in ours if name not in page] == []


def test_the_compatibility_page_names_tests_that_exist() -> None:
    there = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    page = (ROOT / "docs/compatibility.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| contract")]
    assert len(rows) >= 8
    for row in rows:
        named = set(re.findall(r"`(test_\w+\.py)`", row))
        assert named, row
        assert named <= there, row


def test_the_limits_on_the_operating_page_have_the_defaults_of_the_code() -> None:
    page = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    limits = page[page.index("## Limits") : page.index("## Health")]
    rows = dict(re.findall(r"^\| `--([a-z-]+)` \| ([^|]*) \|", limits, re.MULTILINE))
    expected: dict[str, Any] = {
        item.name.replace("_", "-"): item.default for item in fields(Settings) if item.name.startswith("max_")
    }
    expected["http-timeout"] = 30.0
    assert rows.keys() == expected.keys()
    for name, default in expected.items():
        value = f"{default // 1024**2} MiB" if name.endswith("-bytes") else f"{default:,.0f}"
        assert re.match(rf"{value}\b", rows[name]), name
