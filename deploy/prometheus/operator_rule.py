"""Writes the rules of rules/*.yml as one PrometheusRule, the form in which the Prometheus operator takes them.

    python deploy/prometheus/operator_rule.py            writes deploy/kubernetes/components/monitoring/rules.json
    python deploy/prometheus/operator_rule.py --check    fails when the committed file differs

`make rules` calls it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parent / "rules"
FILE = Path(__file__).parents[1] / "kubernetes" / "components" / "monitoring" / "rules.json"


def resource() -> dict[str, Any]:
    """The groups of all files, in the order of the files' names."""
    groups = [group for file in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(file.read_text())["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "digits", "labels": {"app.kubernetes.io/name": "digits-server"}},
        "spec": {"groups": groups},
    }


def main() -> int:
    text = json.dumps(resource(), indent=2, ensure_ascii=False) + "\n"
    if "--check" in sys.argv[1:]:
        if not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
            print(f"{FILE.name} is not what {Path(__file__).name} writes: run make rules")
            return 1
        return 0
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
