"""Plants a leak in every server that starts with this folder on its path: it keeps the bytes of each request."""

from typing import Any

from digits_server.rpcs.rpc import Rpc

_kept: list[bytes] = []
_parse = Rpc.parse


def _keeping(rpc: Rpc, data: Any) -> Any:
    _kept.append(bytes(data))
    return _parse(rpc, data)


setattr(Rpc, "parse", _keeping)  # noqa: B010 - that is the leak
