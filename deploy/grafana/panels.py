"""The kinds of panels on our dashboards, in Grafana's own JSON."""

from typing import Any

Panel = dict[str, Any]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def timeseries(
    title: str, lines: dict[str, str], *, unit: str = "short", stacked: bool = False, limit: float | None = None
) -> Panel:
    """Lines over time: legend → PromQL. `stacked` fills them up to 100 %; above `limit` the background is red."""
    custom: dict[str, Any] = {"fillOpacity": 10, "showPoints": "never"}
    if stacked:
        custom = {
            "fillOpacity": 70,
            "lineWidth": 0,
            "showPoints": "never",
            "stacking": {"mode": "percent", "group": "A"},
        }
    defaults: dict[str, Any] = {"unit": unit, "min": 0, "custom": custom}
    if limit is not None:
        custom["thresholdsStyle"] = {"mode": "area"}
        defaults["thresholds"] = _thresholds(limit)
    return _panel("timeseries", title, _targets(lines), defaults) | {
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    }


def heatmap(title: str, buckets: str, *, unit: str = "short") -> Panel:
    """The increase of a classic histogram's buckets, `sum by (le)`, over time."""
    target = {"refId": "A", "datasource": SOURCE, "expr": buckets, "legendFormat": "{{le}}", "format": "heatmap"}
    return _panel("heatmap", title, [target], {}) | {
        "options": {
            "calculate": False,
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
            "yAxis": {"unit": unit},
            "tooltip": {"mode": "single", "yHistogram": True},
            "legend": {"show": True},
        }
    }


def stat(title: str, expression: str, *, unit: str = "short", label: str = "", limit: float | None = None) -> Panel:
    """One number, the last one; with `label`, the value of that label in its place. Red above `limit`."""
    target = {
        "refId": "A",
        "datasource": SOURCE,
        "expr": expression,
        "legendFormat": f"{{{{{label}}}}}" if label else "",
    }
    defaults: dict[str, Any] = {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": _thresholds(limit)}
    return _panel("stat", title, [target], defaults, height=4) | {
        "options": {
            "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
            "textMode": "name" if label else "value",
            "graphMode": "none" if label else "area",
            "colorMode": "value",
        }
    }


def state_timeline(title: str, states: dict[str, str], texts: dict[int, str]) -> Panel:
    """A bar for each series while it lasts: legend → PromQL, and what its values mean."""
    mapping = {str(value): {"text": text, "index": place} for place, (value, text) in enumerate(texts.items())}
    defaults = {"mappings": [{"type": "value", "options": mapping}], "custom": {"fillOpacity": 70, "lineWidth": 0}}
    return _panel("state-timeline", title, _targets(states), defaults) | {
        "options": {"mergeValues": True, "rowHeight": 0.8, "showValue": "auto", "legend": {"showLegend": False}}
    }


def _panel(kind: str, title: str, targets: list[dict[str, Any]], defaults: dict[str, Any], height: int = 8) -> Panel:
    return {
        "type": kind,
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"h": height},
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }


def _targets(lines: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
        for place, (legend, expression) in enumerate(lines.items())
    ]


def _thresholds(limit: float | None) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    return {"mode": "absolute", "steps": steps if limit is None else [*steps, {"color": "red", "value": limit}]}
