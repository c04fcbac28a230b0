"""How Envoy's configuration names its extensions."""

from typing import Any

TYPES = "type.googleapis.com/envoy"


def typed(name: str, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    """One of Envoy's extensions with its configuration, a message of type `kind`."""
    return {
        "name": f"envoy.{name}",
        "typed_config": {"@type": f"{TYPES}.extensions.{name}.v3.{kind}", **fields},
    }
