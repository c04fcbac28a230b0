"""The Kubernetes manifests: valid by Kubernetes' own schemas, and in step with the server's settings."""

import re
from dataclasses import fields

import pytest
from support.programs.kustomize import KUBERNETES, PLACES, Resource, containers, only, pod_spec, render

from benchmarks.scaling.capacity import UTILISATION
from digits_server.settings import Settings

OLDEST = "1.30"
"""The version of Kubernetes that knows all of it (the sleep before a stop)."""
MONITORED = ("overlays/production", "overlays/tls")
CUSTOM = "monitoring.coreos.com/v1"
"""Resources that Kubernetes itself does not know: the Prometheus operator defines them. test_custom_resources.py
validates it."""
DEFAULTS = Settings()


@pytest.mark.parametrize("version", [OLDEST, "the newest"])
def test_every_resource_is_what_kubernetes_expects(resources: list[Resource], version: str) -> None:
    import kubernetes_validate  # takes five seconds, which every process of a test run would spend to collect the tests

    version = OLDEST if version == OLDEST else kubernetes_validate.latest_version()
    for each in resources:
        if each["apiVersion"] != CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)


def test_without_the_monitoring_component_nothing_needs_an_operator() -> None:
    for place in set(PLACES) - set(MONITORED):
        groups = {each["apiVersion"].rpartition("/")[0] for each in render(KUBERNETES / place)}
        assert groups == {"", "apps", "batch", "networking.k8s.io", "policy"}, place


def test_every_image_has_a_tag(resources: list[Resource]) -> None:
    images = [container["image"] for each in resources for container in containers(each)]
    assert images
    assert all(re.fullmatch(r"[\w./-]+:v?[\d.]+", image) for image in images), images


def test_no_job_is_applied_whose_template_could_never_change(resources: list[Resource]) -> None:
    assert not [each for each in resources if each["kind"] == "Job"]
    training = only(resources, "CronJob", "digits-training")["spec"]
    assert training["suspend"] is True


def test_everything_that_selects_the_servers_selects_their_pods(resources: list[Resource], server: Resource) -> None:
    labels = server["spec"]["template"]["metadata"]["labels"]
    selectors = [
        server["spec"]["selector"]["matchLabels"],
        only(resources, "Service", "digits-server")["spec"]["selector"],
        only(resources, "PodDisruptionBudget", "digits-server")["spec"]["selector"]["matchLabels"],
        only(resources, "NetworkPolicy", "digits-server")["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod_spec(server).get("topologySpreadConstraints", [])),
    ]
    assert all(each.items() <= labels.items() for each in selectors)


def test_the_autoscaler_aims_at_the_share_that_capacity_is_planned_with() -> None:
    resources = render(KUBERNETES / "overlays/production")
    server = only(resources, "Deployment", "digits-server")
    assert "replicas" not in server["spec"]  # else each `kubectl apply` would set them back
    autoscaler = only(resources, "HorizontalPodAutoscaler", "digits-server")["spec"]
    scaled = autoscaler["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", server["metadata"]["name"])
    (metric,) = autoscaler["metrics"]
    assert metric["resource"]["name"] == "cpu"
    assert metric["resource"]["target"]["averageUtilization"] == round(UTILISATION * 100)


def test_the_ports_are_those_the_server_listens_on(resources: list[Resource], server: Resource) -> None:
    (container,) = containers(server)
    ours = {"grpc": DEFAULTS.grpc_port, "http": DEFAULTS.http_port}
    assert {each["name"]: each["containerPort"] for each in container["ports"]} == ours
    probes = {"readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    assert {name: container[name]["httpGet"]["path"] for name in probes} == probes
    assert {container[name]["httpGet"]["port"] for name in probes} == {"http"}
    service = only(resources, "Service", "digits-server")["spec"]
    assert service["clusterIP"] == "None"  # headless: the client balances
    assert {each["name"]: each["port"] for each in service["ports"]} == ours
    callers, _ = only(resources, "NetworkPolicy", "digits-server")["spec"]["ingress"]
    assert {port["port"] for port in callers["ports"]} == ours.keys()


def test_probes_and_prometheus_speak_tls_where_the_server_does(resources: list[Resource], server: Resource) -> None:
    (container,) = containers(server)
    with_tls = {"name": "DIGITS_HTTP_TLS", "value": "true"} in container["env"]
    schemes = {container[name]["httpGet"].get("scheme", "HTTP") for name in ("readinessProbe", "livenessProbe")}
    schemes |= {
        endpoint.get("scheme", "http").upper()
        for each in resources
        if each["kind"] == "ServiceMonitor"
        for endpoint in each["spec"]["endpoints"]
    }
    assert schemes == {"HTTPS" if with_tls else "HTTP"}


def test_with_tls_the_server_reads_the_files_of_the_secret() -> None:
    resources = render(KUBERNETES / "overlays/tls")
    server = only(resources, "Deployment", "digits-server")
    (container,) = containers(server)
    env = {each["name"]: each["value"] for each in container["env"]}
    (volume,) = (each for each in pod_spec(server)["volumes"] if "secret" in each)
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == volume["name"])
    assert [env["DIGITS_TLS_CERTIFICATE"], env["DIGITS_TLS_KEY"]] == [
        f"{mount['mountPath']}/{name}" for name in ("tls.crt", "tls.key")
    ]
    (endpoint,) = only(resources, "ServiceMonitor", "digits-server")["spec"]["endpoints"]
    assert endpoint["tlsConfig"]["ca"]["secret"] == {"name": volume["secret"]["secretName"], "key": "ca.crt"}
    assert endpoint["tlsConfig"]["serverName"] == "digits-server.digits.svc"


def test_a_connection_takes_no_further_call_after_a_while_so_that_callers_find_servers_that_were_added(
    server: Resource,
) -> None:
    (container,) = containers(server)
    env = {each["name"]: each["value"] for each in container["env"]}
    assert 0 < float(env["DIGITS_MAX_CONNECTION_AGE"]) <= 300


def test_only_settings_that_exist_are_set(server: Resource) -> None:
    (container,) = containers(server)
    known = {f"DIGITS_{each.name.upper()}" for each in fields(Settings)}
    assert {each["name"] for each in container["env"]} <= known


def test_a_pod_is_given_longer_to_end_than_the_server_gives_its_callers(server: Resource) -> None:
    (container,) = containers(server)
    grace = {each["name"]: each["value"] for each in container["env"]}["DIGITS_SHUTDOWN_GRACE"]
    assert float(grace) == DEFAULTS.shutdown_grace
    announced = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    probing = container["readinessProbe"]
    assert announced >= probing["periodSeconds"] * probing["failureThreshold"]
    assert pod_spec(server)["terminationGracePeriodSeconds"] >= announced + DEFAULTS.shutdown_grace + 5
