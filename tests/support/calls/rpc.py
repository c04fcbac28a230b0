"""Calls RPCs that are expected to fail, or that have no generated stub."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest

DEADLINE = 60.0
"""Deadline of any call of a test, in seconds."""


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    """The name of the status and the message with which `call()` fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return status_of(caught.value)


def status_of(error: BaseException | None) -> tuple[str, str]:
    """The name of the status and the message of a failed call."""
    call: Any = error  # grpc raises its calls as errors; its types do not say so
    assert isinstance(call, grpc.RpcError)
    return call.code().name, call.details() or ""


def raw_call(channel: grpc.Channel, path: str, message: bytes) -> bytes:
    """One unary call of bytes to `path`, "/package.Service/Method"."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    return call(message, timeout=DEADLINE)
