"""Checks Kubernetes resources against the types that KServe and the Prometheus operator publish for Python.

    python custom_resources.py < resources.json

The input is a list. For each resource with faults, a line of JSON has its place in the list and the faults.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import kserve.models
import kubernetes.client.models
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator
from pydantic import ValidationError

KSERVE = {
    ("serving.kserve.io/v1beta1", "InferenceService"): "V1beta1InferenceService",
    ("serving.kserve.io/v1alpha1", "ServingRuntime"): "V1alpha1ServingRuntime",
}
PROMETHEUS_OPERATOR = {
    "ServiceMonitor": prometheus_operator.ServiceMonitor,
    "PodMonitor": prometheus_operator.PodMonitor,
    "PrometheusRule": prometheus_operator.PrometheusRule,
}
PLAIN = {"str": (str,), "int": (int,), "bool": (bool,), "float": (int, float), "ResourceQuantity": (str, int)}


def main() -> None:
    for place, resource in enumerate(json.load(sys.stdin)):
        if found := list(faults(resource)):
            print(json.dumps({"place": place, "faults": found}))


def faults(resource: dict[str, Any]) -> Iterator[str]:
    kind = resource["kind"]
    if resource["apiVersion"] == "monitoring.coreos.com/v1":
        yield from of_pydantic(resource, PROMETHEUS_OPERATOR[kind])
    else:
        yield from of_openapi(resource, KSERVE[resource["apiVersion"], kind], kind)


def of_pydantic(resource: dict[str, Any], model: Any) -> Iterator[str]:
    """The fields that the model refuses, and those that it drops because they are unknown."""
    try:
        known = model.model_validate(resource).model_dump(mode="json", by_alias=True, exclude_unset=True)
    except ValidationError as error:
        yield str(error)
    else:
        yield from dropped(resource, known, resource["kind"])


def dropped(given: Any, known: Any, at: str) -> Iterator[str]:
    if isinstance(given, dict):
        for name, value in given.items():
            if name not in known:
                yield f"{at}.{name}: no such field"
            else:
                yield from dropped(value, known[name], f"{at}.{name}")
    elif isinstance(given, list):
        for number, (value, other) in enumerate(zip(given, known, strict=True)):
            yield from dropped(value, other, f"{at}[{number}]")


def of_openapi(value: Any, kind: str, at: str) -> Iterator[str]:
    """The same by the classes that OpenAPI's generator wrote: they name the type of each field."""
    if found := re.fullmatch(r"list\[(.+)\]", kind, re.IGNORECASE):
        if not isinstance(value, list):
            yield f"{at}: expected a list"
            return
        for number, each in enumerate(value):
            yield from of_openapi(each, found[1], f"{at}[{number}]")
    elif found := re.fullmatch(r"dict[(\[]str, (.+)[)\]]", kind, re.IGNORECASE):
        for name, each in value.items():
            yield from of_openapi(each, found[1], f"{at}.{name}")
    elif kind in PLAIN:
        if not isinstance(value, PLAIN[kind]) or (isinstance(value, bool) and kind != "bool"):
            yield f"{at}: expected {kind}"
    elif kind not in {"object", "datetime"}:
        yield from of_class(value, class_of(kind), at)


def of_class(value: Any, model: Any, at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{at}: expected an object"
        return
    attributes = {name: attribute for attribute, name in model.attribute_map.items()}
    for name, each in value.items():
        if name not in attributes:
            yield f"{at}.{name}: no such field"
        else:
            yield from of_openapi(each, model.openapi_types[attributes[name]], f"{at}.{name}")
    try:
        model(**{attribute: value[name] for name, attribute in attributes.items() if name in value})
    except ValueError as error:
        yield f"{at}: {error}"


def class_of(kind: str) -> Any:
    return getattr(kserve.models, kind, None) or getattr(kubernetes.client.models, kind)


main()
