"""Lets a test break every server that starts with this folder on its path, by files in the folder $FAULTY.

`fail` has the model raise. `crash`, `unavailable` and `overloaded` have the search for a model raise, because of a bug,
because there is none yet, or because it has too much to do. `slow` keeps image files from being decoded, and makes the
file `waiting` when one has come.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from digits_server.errors import Overloaded, Unavailable
from digits_server.runtimes.litert import LiteRTRuntime
from digits_server.service.file_decoder import FileDecoder
from digits_server.serving.registry import ModelRegistry

_folder = Path(os.environ["FAULTY"])
_errors = {
    "crash": ZeroDivisionError(),
    "unavailable": Unavailable("no model is serving yet"),
    "overloaded": Overloaded("the queue is full", 100),
}
_predict, _get, _decode = LiteRTRuntime.predict, ModelRegistry.get, FileDecoder.decode


def _predicting(runtime: LiteRTRuntime, images: Any) -> Any:
    if (_folder / "fail").exists():
        raise ZeroDivisionError
    return _predict(runtime, images)


def _getting(registry: ModelRegistry, version: int = 0) -> Any:
    for name, error in _errors.items():
        if (_folder / name).exists():
            raise error
    return _get(registry, version)


async def _decoding(decoder: FileDecoder, files: Any, call: Any, **known: Any) -> Any:
    while (_folder / "slow").exists():
        (_folder / "waiting").touch()
        await asyncio.sleep(0.005)
    return await _decode(decoder, files, call, **known)


setattr(LiteRTRuntime, "predict", _predicting)  # noqa: B010 - for mypy it is another function
setattr(ModelRegistry, "get", _getting)  # noqa: B010 - the same
setattr(FileDecoder, "decode", _decoding)  # noqa: B010 - the same
