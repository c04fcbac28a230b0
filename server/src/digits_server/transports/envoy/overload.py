"""What Envoy does when there are too many connections, or when memory runs short.

Each connection may have so many calls, and each call so much of Envoy's memory, that all together may have more than
there is. Rather than be killed for it, the server then refuses further calls, and next closes whichever connection
sends something.
"""

from pathlib import Path
from typing import Any

from digits_server.transports.envoy.typed import TYPES

BESIDE_HEAP_BYTES = 192 * 1024 * 1024
"""Of the process's memory what is not on Envoy's heap: code, and Python's own objects."""

LEAST_HEAP_BYTES = 96 * 1024 * 1024
"""With less nothing could be answered; the heap has a third of it when the server starts."""

LOOK_SECONDS = 0.02
"""Between two looks at the heap, and at the orders of this process."""

REFUSE_AT, CLOSE_AT = 0.8, 0.85
"""Of the heap, from which on calls are refused, and connections closed."""

CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
HEAP = "envoy.resource_monitors.fixed_heap"
ORDERS = "envoy.resource_monitors.injected_resource"


def overload_manager(*, connections: int, memory_bytes: int, door: Path) -> dict[str, Any]:
    """The part of Envoy's configuration that bounds its connections, and the memory of the process.

    door  a file of `connections.Door`, which says whether new connections are taken
    """
    heap = max(LEAST_HEAP_BYTES, memory_bytes - BESIDE_HEAP_BYTES)
    return {
        "refresh_interval": f"{LOOK_SECONDS}s",
        "resource_monitors": [
            _monitor(
                CONNECTIONS,
                "downstream_connections.v3.DownstreamConnectionsConfig",
                {"max_active_downstream_connections": connections},
            ),
            _monitor(ORDERS, "injected_resource.v3.InjectedResourceConfig", {"filename": str(door)}),
            _monitor(HEAP, "fixed_heap.v3.FixedHeapConfig", {"max_heap_size_bytes": heap}),
        ],
        "actions": [_at(HEAP, REFUSE_AT, "envoy.overload_actions.stop_accepting_requests")],
        "loadshed_points": [
            _at(HEAP, CLOSE_AT, "envoy.load_shed_points.http2_server_go_away_and_close_on_dispatch"),
            _at(ORDERS, 1.0, "envoy.load_shed_points.tcp_listener_accept"),
        ],
    }


def _monitor(name: str, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"{TYPES}.extensions.resource_monitors.{kind}", **fields}}


def _at(monitor: str, share: float, name: str) -> dict[str, Any]:
    return {"name": name, "triggers": [{"name": monitor, "threshold": {"value": share}}]}
