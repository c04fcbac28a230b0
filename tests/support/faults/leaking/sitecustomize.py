"""Plants a leak in every server that starts with this folder on its path: it keeps the bytes of each request."""

from typing import Any

from digits_server.rpcs.rpc import UnaryRpc
from digits_server.service.direct_predictions import DirectPredictions

_kept: list[bytes] = []
_answer = UnaryRpc.answer
_take = DirectPredictions.take


async def _answering(rpc: UnaryRpc, data: Any, call: Any) -> bytes:
    _kept.append(bytes(bytearray(data)))
    return await _answer(rpc, data, call)


def _taking(direct: DirectPredictions, call: int, message: bytes, *known: Any) -> bool:
    _kept.append(bytes(bytearray(message)))
    return _take(direct, call, message, *known)


setattr(UnaryRpc, "answer", _answering)  # noqa: B010 - that is the leak
setattr(DirectPredictions, "take", _taking)  # noqa: B010 - the same, for calls answered where they arrive
