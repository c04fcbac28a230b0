"""Tells systemd, or another manager with its protocol (sd_notify(3)), that the server is ready or stops."""

import logging
import os
import socket

log = logging.getLogger(__name__)

SOCKET = "NOTIFY_SOCKET"
"""The environment variable with the path of the manager's datagram socket; `@` begins a name without a file."""

READY = "READY=1"
STOPPING = "STOPPING=1"

SEND_SECONDS = 1.0
"""Longest wait for a manager that does not read, so that it cannot block the server."""


def tell(state: str) -> None:
    """Sends a state to the service manager, if one started this process. An error is only logged."""
    path = os.environ.get(SOCKET, "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(SEND_SECONDS)
            sender.sendto(state.encode(), address)
    except (OSError, ValueError) as error:
        log.warning("the service manager was not told", extra={"state": state, "error": str(error)})
