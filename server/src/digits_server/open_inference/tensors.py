"""The tensors this server takes and gives under the Open Inference Protocol: their names, datatypes and shapes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_server.errors import InvalidRequest
from digits_server.open_inference.json_elements import JsonElements
from digits_server.pictures.images import SIDE
from digits_server.service.prediction_service import Classified

UINT8, INT64, FP32, BYTES = "UINT8", "INT64", "FP32", "BYTES"

DTYPES: dict[str, np.dtype[Any]] = {UINT8: np.dtype("<u1"), INT64: np.dtype("<i8"), FP32: np.dtype("<f4")}
"""The layout of a datatype's elements in raw contents: little-endian on every machine."""

ANY_SIZE = -1
"""The size that stands for N in metadata."""

UNSUPPORTED = frozenset(("classification", "shared_memory_region"))
"""Parameters of other servers' extensions that would change the answer. To ignore them would mislead the caller."""


@dataclass(frozen=True, slots=True)
class TensorKind:
    """Name, datatype and shape, as in the metadata."""

    name: str
    datatype: str
    shape: tuple[int, ...]


PIXEL_INPUT = TensorKind("images", UINT8, (ANY_SIZE, SIDE, SIDE))
FILE_INPUT = TensorKind("image_files", BYTES, (ANY_SIZE,))
OUTPUTS = (
    TensorKind("digits", INT64, (ANY_SIZE,)),
    TensorKind("confidences", FP32, (ANY_SIZE,)),
    TensorKind("probabilities", FP32, (ANY_SIZE, 10)),
)
UNLIKE_OUTPUT = TensorKind("unlike", FP32, (ANY_SIZE,))
"""Only returned if it is named, and only by versions that have this score."""

KINDS = {kind.name: kind for kind in (*OUTPUTS, UNLIKE_OUTPUT)}
"""The outputs by name."""

EXPECTED_INPUT = f"expected one tensor, {PIXEL_INPUT.name} or {FILE_INPUT.name}"
EXPECTED_OUTPUTS = f"expected names among {', '.join(KINDS)}, each at most once"

Numbers = NDArray[Any]
Contents = bytes | memoryview | Numbers | list[bytes] | JsonElements
"""The contents of an input: raw bytes, or JSON, or the elements themselves: numbers in one dimension, or one bytes
object each."""


@dataclass(frozen=True, slots=True)
class InputTensor:
    """One input as its caller described it, not yet checked."""

    name: str
    datatype: str
    shape: Sequence[int]
    contents: Contents


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """One output: `values` has its shape, and the dtype of its datatype in DTYPES."""

    name: str
    datatype: str
    values: Numbers


def one_input(count: int) -> None:
    """Raises InvalidRequest unless a request has one input. It is checked before the inputs are read."""
    if count != 1:
        raise InvalidRequest(f"inputs: {EXPECTED_INPUT}, got {count}")


def outputs_within(count: int) -> None:
    """Raises InvalidRequest if a request names more outputs than exist."""
    if count > len(KINDS):
        raise InvalidRequest(f"outputs: {EXPECTED_OUTPUTS}, got {count}")


def requested(names: Sequence[str]) -> tuple[TensorKind, ...]:
    """The outputs with these names, in this order; OUTPUTS if no name is given. Raises InvalidRequest."""
    if not names:
        return OUTPUTS
    outputs_within(len(names))
    if len(set(names)) < len(names) or not KINDS.keys() >= set(names):
        raise InvalidRequest(f"outputs: {EXPECTED_OUTPUTS}")
    return tuple(KINDS[name] for name in names)


def refuse_unsupported(parameters: Iterable[str]) -> None:
    """Raises InvalidRequest if one of these parameters asks for an extension that this server does not have."""
    for name in UNSUPPORTED.intersection(parameters):
        raise InvalidRequest(f"parameters: {name} is not supported")


def outputs(kinds: Sequence[TensorKind], answer: Classified) -> list[OutputTensor]:
    """The tensors of one answer, one for each of `kinds`."""
    values: dict[str, Numbers] = {
        "digits": answer.digits,
        "confidences": answer.confidences,
        "probabilities": answer.probabilities,
    }
    if answer.unlike is not None:
        values["unlike"] = answer.unlike
    return [
        OutputTensor(kind.name, kind.datatype, values[kind.name].astype(DTYPES[kind.datatype], copy=False))
        for kind in kinds
    ]
