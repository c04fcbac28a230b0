"""The Envoy that is shipped: one configuration, in step with the server, with compose and with Kubernetes."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.programs.kustomize import Resource, containers, only, pod_spec, render

from digits_server.settings import Settings

DEPLOY = Path(__file__).parents[3] / "deploy"
COMPOSE = DEPLOY.parent / "docker-compose.yml"
DEFAULTS = Settings()
PREFIX_BYTES = 5
"""gRPC's, before each message."""

CLIENT_STREAMS = {
    "/digits.v1.PredictionService/PredictStream",
    "/inference.GRPCInferenceService/ModelStreamInfer",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text())
    return found


@pytest.fixture(scope="module")
def resources() -> list[Resource]:
    return render(DEPLOY / "kubernetes" / "overlays" / "behind-envoy")


def listener(shipped: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (each for each in shipped["static_resources"]["listeners"] if each["name"] == name)
    return dict(found)


def manager(shipped: dict[str, Any], name: str) -> dict[str, Any]:
    """The configuration of HTTP on a listener."""
    (chain,) = listener(shipped, name)["filter_chains"]
    (only_filter,) = chain["filters"]
    return dict(only_filter["typed_config"])


def is_buffered(path: str, routes: list[dict[str, Any]]) -> bool:
    for route in routes:
        match = route["match"]
        if match.get("path") == path or ("prefix" in match and path.startswith(match["prefix"])):
            return "typed_per_filter_config" not in route
    raise AssertionError(f"no route takes {path}")


def test_a_connection_takes_no_further_call_after_a_while_so_that_callers_find_an_envoy_that_was_added(
    shipped: dict[str, Any],
) -> None:
    for name in ("grpc", "web"):
        options = manager(shipped, name)["common_http_protocol_options"]
        assert 0 < int(options["max_connection_duration"].removesuffix("s")) <= 300
    assert manager(shipped, "web")["http1_safe_max_connection_duration"] is True


def test_every_message_of_a_method_without_a_stream_is_bounded_and_every_stream_passes(shipped: dict[str, Any]) -> None:
    (host,) = manager(shipped, "grpc")["route_config"]["virtual_hosts"]
    streams = {*CLIENT_STREAMS, "/grpc.health.v1.Health/Watch"}
    others = {
        "/digits.v1.PredictionService/Predict",
        "/digits.v1.PredictionService/GetModel",
        "/inference.GRPCInferenceService/ModelInfer",
        "/grpc.health.v1.Health/Check",
        "/no.such.Service/Method",
    }
    uncompressed = [each for each in host["routes"] if "headers" not in each["match"]]
    assert {path for path in streams | others if is_buffered(path, uncompressed)} == others


def test_no_compressed_message_of_any_method_reaches_a_server(shipped: dict[str, Any]) -> None:
    (host,) = manager(shipped, "grpc")["route_config"]["virtual_hosts"]
    first = host["routes"][0]
    assert first["match"]["prefix"] == "/"
    assert {each["name"] for each in first["match"]["headers"]} == {"grpc-encoding"}
    assert first["direct_response"]["status"] == 404


def test_the_largest_message_is_the_servers_own(shipped: dict[str, Any]) -> None:
    sizes = {
        name: next(each for each in manager(shipped, name)["http_filters"] if each["name"].endswith("buffer"))
        for name in ("grpc", "web")
    }
    bounds = {name: each["typed_config"]["max_request_bytes"] for name, each in sizes.items()}
    assert bounds == {"grpc": DEFAULTS.max_message_bytes + PREFIX_BYTES, "web": DEFAULTS.max_message_bytes}


def test_ports_with_tls_serve_what_those_without_do(shipped: dict[str, Any]) -> None:
    assert manager(shipped, "grpc_tls") == manager(shipped, "grpc_mutual_tls") == manager(shipped, "grpc")
    assert manager(shipped, "web_tls") == manager(shipped, "web")


def test_compose_mounts_what_is_shipped_and_publishes_to_the_network_only_ports_with_tls(
    shipped: dict[str, Any],
) -> None:
    compose = yaml.safe_load(COMPOSE.read_text())
    envoy = compose["services"]["envoy"]
    assert "./deploy/envoy:/etc/envoy:ro" in envoy["volumes"]
    with_tls = {
        each["address"]["socket_address"]["port_value"]
        for each in shipped["static_resources"]["listeners"]
        if "transport_socket" in each["filter_chains"][0]
    }
    for published in envoy["ports"]:
        inside = int(published.rpartition(":")[2])
        assert published.startswith("127.0.0.1:") or inside in with_tls
    assert "ports" not in compose["services"]["server"]
    assert compose["services"]["server"]["environment"]["DIGITS_TRANSPORT"] == "native"


def test_kubernetes_mounts_what_is_shipped(shipped: dict[str, Any], resources: list[Resource]) -> None:
    (configuration,) = (each for each in resources if each["kind"] == "ConfigMap")
    files = configuration["data"]
    assert yaml.safe_load(files["envoy.yaml"]) == shipped
    envoy = only(resources, "Deployment", "digits-envoy")
    (container,) = containers(envoy)
    volumes = {each["name"]: each for each in pod_spec(envoy)["volumes"]}
    mounts = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
    assert mounts["/etc/envoy"]["configMap"]["name"] == configuration["metadata"]["name"]
    assert mounts["/etc/digits-tls"]["secret"]["secretName"] == "digits-tls"
    text = "".join(files.values())
    assert set(re.findall(r"/etc/[\w-]+", text)) == mounts.keys()
    assert set(re.findall(r"/etc/envoy/([\w.]+)", text)) <= files.keys()


def test_kubernetes_finds_the_servers_by_the_name_that_is_shipped(
    shipped: dict[str, Any], resources: list[Resource]
) -> None:
    addresses = [
        end["endpoint"]["address"]["socket_address"]
        for cluster in shipped["static_resources"]["clusters"]
        for group in cluster["load_assignment"]["endpoints"]
        for end in group["lb_endpoints"]
        if cluster["name"] != "admin"
    ]
    assert {each["address"] for each in addresses} == {"server"}
    service = only(resources, "Service", "server")["spec"]
    assert service["clusterIP"] == "None"
    assert {each["port"] for each in service["ports"]} == {each["port_value"] for each in addresses}
    labels = only(resources, "Deployment", "digits-server")["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()


def test_kubernetes_shows_callers_only_ports_with_tls(shipped: dict[str, Any], resources: list[Resource]) -> None:
    (container,) = containers(only(resources, "Deployment", "digits-envoy"))
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    for name, port in ports.items():
        assert port == listener(shipped, name.replace("-", "_"))["address"]["socket_address"]["port_value"]
    with_tls = {
        each["name"].replace("_", "-")
        for each in shipped["static_resources"]["listeners"]
        if "transport_socket" in each["filter_chains"][0]
    }
    shown = {each["targetPort"] for each in only(resources, "Service", "digits")["spec"]["ports"]}
    assert shown == with_tls == ports.keys() - {"metrics"}
    everybody, scrapers = only(resources, "NetworkPolicy", "digits-envoy")["spec"]["ingress"]
    assert {each["port"] for each in everybody["ports"]} == shown
    assert {each["port"] for each in scrapers["ports"]} == {"metrics"}


def test_in_kubernetes_only_envoy_reaches_the_servers_which_then_say_native(resources: list[Resource]) -> None:
    labels = only(resources, "Deployment", "digits-envoy")["spec"]["template"]["metadata"]["labels"]
    calls, _ = only(resources, "NetworkPolicy", "digits-server")["spec"]["ingress"]
    (source,) = calls["from"]
    assert source["podSelector"]["matchLabels"].items() <= labels.items()
    (server,) = containers(only(resources, "Deployment", "digits-server"))
    assert {"name": "DIGITS_TRANSPORT", "value": "native"} in server["env"]
    (plain,) = containers(only(render(DEPLOY / "kubernetes" / "base"), "Deployment", "digits-server"))
    assert "DIGITS_TRANSPORT" not in {each["name"] for each in plain["env"]}


def test_a_proxy_is_given_longer_to_end_than_its_stop_takes(resources: list[Resource]) -> None:
    envoy = only(resources, "Deployment", "digits-envoy")
    (container,) = containers(envoy)
    waits = re.search(r"sleep (\d+)", container["lifecycle"]["preStop"]["exec"]["command"][-1])
    draining = int(container["args"][container["args"].index("--drain-time-s") + 1])
    assert waits
    assert draining < int(waits[1]) < pod_spec(envoy)["terminationGracePeriodSeconds"]
