"""The Grafana dashboard has only fields that Grafana knows, by the types that Grafana publishes for Python."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

FILE = Path(__file__).parents[3] / "deploy" / "grafana" / "dashboards" / "digits.json"

register_default_plugins()  # the types of panels and queries


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text(encoding="utf-8")))


def unknown(dashboard: dict[str, Any]) -> list[str]:
    """The places of the fields that are lost when Grafana's types read the dashboard and write it again."""
    written = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(dashboard)))
    return list(lost(dashboard, written, "dashboard"))


def lost(given: Any, kept: Any, at: str) -> Iterator[str]:
    if isinstance(given, dict):
        for name, value in given.items():
            if not isinstance(kept, dict) or name not in kept:
                yield f"{at}.{name}"
            else:
                yield from lost(value, kept[name], f"{at}.{name}")
    elif isinstance(given, list):
        for place, (value, other) in enumerate(zip(given, kept, strict=True)):
            yield from lost(value, other, f"{at}[{place}]")
    elif given != kept:
        yield at


def test_grafana_knows_every_field_of_the_dashboard(shipped: dict[str, Any]) -> None:
    assert unknown(shipped) == []


@pytest.mark.parametrize(
    "misspell",
    [
        lambda page: page.update(refrsh="10s"),
        lambda page: page["templating"]["list"][0].update(lable="Prometheus"),
        lambda page: first(page, "stat")["options"].update(graphMod="none"),
        lambda page: first(page, "timeseries")["fieldConfig"]["defaults"]["custom"].update(linewidth=1),
        lambda page: first(page, "timeseries")["targets"][0].update(legend="x"),
        lambda page: first(page, "heatmap")["options"].update(colour={}),
    ],
    ids=["page", "variable", "option", "field", "query", "heatmap"],
)
def test_a_misspelt_field_is_found(shipped: dict[str, Any], misspell: Callable[[dict[str, Any]], None]) -> None:
    broken = copy.deepcopy(shipped)
    misspell(broken)
    assert len(unknown(broken)) == 1


def first(page: dict[str, Any], kind: str) -> dict[str, Any]:
    """The first panel of this type."""
    return dict(next(panel for panel in page["panels"] if panel["type"] == kind))
