"""Monitoring in Kubernetes: Prometheus gives each target the job that the rules and the dashboard ask for."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.programs.kustomize import Resource, only, render

DEPLOY = Path(__file__).parents[3] / "deploy"
OVERLAYS = DEPLOY / "kubernetes" / "overlays"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
ENVOY_MONITOR = DEPLOY / "kubernetes" / "components" / "envoy-monitoring" / "monitor.yaml"
ENVOY = DEPLOY / "kubernetes" / "components" / "envoy" / "envoy.yaml"


@pytest.fixture(scope="module", params=["production", "tls"])
def resources(request: pytest.FixtureRequest) -> list[Resource]:
    return render(OVERLAYS / request.param)


def groups() -> list[dict[str, Any]]:
    return [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]


def jobs_asked_for() -> set[str]:
    """Every job that a rule names."""
    found = (re.findall(r'\bjob="([^"]+)"', rule["expr"]) for group in groups() for rule in group["rules"])
    return {job for each in found for job in each}


def job_given(by_default: str, labels: dict[str, str], spec: dict[str, Any], endpoint: dict[str, Any]) -> str:
    """The job as the operator configures it: by default, or a label of the target's, then as relabelled."""
    job = labels.get(spec.get("jobLabel", ""), by_default)
    for step in endpoint.get("relabelings", []):
        assert step.keys() == {"targetLabel", "replacement"}
        if step["targetLabel"] == "job":
            job = step["replacement"]
    return job


def test_the_servers_are_scraped_under_the_job_of_the_rules(resources: list[Resource]) -> None:
    monitor = only(resources, "ServiceMonitor", "digits-server")["spec"]
    service = only(resources, "Service", "digits-server")
    labels = service["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in {each["name"] for each in service["spec"]["ports"]}
    assert job_given(service["metadata"]["name"], labels, monitor, endpoint) in jobs_asked_for()


def test_envoy_is_scraped_under_the_job_of_the_rules() -> None:
    monitor = yaml.safe_load(ENVOY_MONITOR.read_text())
    envoy = yaml.safe_load(ENVOY.read_text())
    pod = envoy["spec"]["template"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {each["name"] for each in pod["spec"]["containers"][0]["ports"]}
    by_default = f"digits/{monitor['metadata']['name']}"
    assert job_given(by_default, pod["metadata"]["labels"], monitor["spec"], endpoint) in jobs_asked_for()


def test_compose_scrapes_every_job_of_the_rules_and_no_other() -> None:
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert {each["job_name"] for each in scraped} == jobs_asked_for()


def test_the_prometheus_rule_has_every_group_of_the_rule_files(resources: list[Resource]) -> None:
    assert only(resources, "PrometheusRule", "digits")["spec"]["groups"] == groups()


def test_the_config_map_of_the_dashboard_is_the_dashboard_with_the_label_grafana_looks_for(
    resources: list[Resource],
) -> None:
    found = only(resources, "ConfigMap", "digits-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    shipped = json.loads((DEPLOY / "grafana" / "dashboards" / "digits.json").read_text())
    assert [json.loads(text) for text in found["data"].values()] == [shipped]
