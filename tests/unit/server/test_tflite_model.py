"""A model file with a correct hash is still not trusted: a file that could harm the process never runs."""

import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ai_edge_litert.schema_py_generated as litert_schema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.models import hostile_models, tflite
from support.models.graphs import mutant

from digits_server.errors import ModelRejected
from digits_server.runtimes import flatbuffer
from digits_server.runtimes.flatbuffer import Malformed, Scalar, Table, Vector
from digits_server.runtimes.tflite_model import MAX_TENSOR_BYTES, check
from digits_server.runtimes.tflite_operators import OPERATORS
from digits_server.runtimes.tflite_schema import OPTIONS

BATCH = 256
MUTANTS = 300


@pytest.fixture(scope="module")
def model(repository: Path) -> bytes:
    return Path(repository, "digits/1/model.tflite").read_bytes()


def refusal(model: bytes) -> tuple[str, str]:
    with pytest.raises(ModelRejected) as caught:
        check(model, BATCH)
    return caught.value.cause, caught.value.message


def test_numbers_are_those_of_the_format() -> None:
    for number, operator in OPERATORS.items():
        assert getattr(litert_schema.BuiltinOperator, operator.name) == number
        assert operator.options in {0, *OPTIONS}
    for number, (name, _) in OPTIONS.items():
        assert getattr(litert_schema.BuiltinOptions, name) == number


@pytest.mark.parametrize("change", [bytes, hostile_models.with_convolution])
def test_good_models_pass(model: bytes, change: Callable[[bytes], bytes]) -> None:
    check(change(model), BATCH)


def test_operators_that_are_not_allowed_are_refused_by_number(model: bytes) -> None:
    for number in (litert_schema.BuiltinOperator.WHILE, litert_schema.BuiltinOperator.CALL_ONCE, 200):
        editor = tflite.Editor(model)
        bad = editor.finished(editor.apply(number, [tflite.SCALED]))
        assert refusal(bad) == ("operator", f"model.tflite has the operator {number}, which is not allowed")


def test_custom_operators_are_refused(model: bytes) -> None:
    assert refusal(hostile_models.with_custom_operator(model))[0] == "operator"


@pytest.mark.parametrize(
    "change",
    [
        hostile_models.with_huge_padding,
        hostile_models.with_doubling,
        hostile_models.with_outer_product,
        hostile_models.with_hidden_outer_product,
    ],
)
def test_absurd_memory_is_refused_regardless_of_the_tensors_claims(
    model: bytes, change: Callable[[bytes], bytes]
) -> None:
    cause, message = refusal(change(model))
    assert cause == "memory"
    assert f"more than {MAX_TENSOR_BYTES} bytes" in message


@pytest.mark.parametrize(
    ("field", "value"), [("strideW", 0), ("dilationHFactor", 0), ("strideH", -1), ("dilationWFactor", 2**31 - 1)]
)
def test_strides_and_dilations_are_bounded(model: bytes, field: str, value: int) -> None:
    assert refusal(hostile_models.with_convolution(model, lambda options: setattr(options, field, value)))[0] == "load"


def test_a_tensor_that_claims_another_shape_than_it_has_is_refused(model: bytes) -> None:
    cause, message = refusal(hostile_models.with_huge_claim(model))
    assert cause == "load"
    assert "computed shape is not the declared one" in message


@pytest.mark.parametrize("change", [hostile_models.with_second_graph, hostile_models.with_text])
def test_parts_that_a_classifier_does_not_need_are_refused(model: bytes, change: Callable[[bytes], bytes]) -> None:
    assert refusal(change(model))[0] == "load"


@pytest.mark.parametrize("change", hostile_models.CORRUPTING, ids=lambda change: change.__name__)
def test_models_that_corrupt_the_interpreter_are_refused(model: bytes, change: Callable[[bytes], bytes]) -> None:
    cause, message = refusal(change(model))
    assert cause == "load"
    assert message.startswith("model.tflite is not a LiteRT model: ")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_off_anywhere_is_refused_though_its_manifest_vouches_for_it(model: bytes, share: float) -> None:
    assert refusal(model[: int(share * len(model))])[0] == "load"


def test_tables_that_refer_to_one_another_without_end_are_refused() -> None:
    schema: flatbuffer.Schema = {"Node": {"nodes": Vector(Table("Node"))}}
    layout = struct.pack("<HHHH", 6, 8, 4, 0)
    # root → node at 16 (layout at 8), whose vector at 24 has three references, each back to the node
    back = [struct.pack("<I", (16 - place) % 2**32) for place in (28, 32, 36)]
    data = struct.pack("<I4s", 16, b"TEST") + layout + struct.pack("<iI", 8, 4) + struct.pack("<I", 3) + b"".join(back)
    with pytest.raises(Malformed):
        flatbuffer.read(data, b"TEST", schema, "Node")


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    schema: flatbuffer.Schema = {"A": {"x": Scalar("i"), "many": Vector(Table("A")), "bytes": Vector(Scalar("B"))}}
    try:
        read: Any = flatbuffer.read(data[:4] + b"TEST" + data[4:], b"TEST", schema, "A")
    except Malformed:
        return
    assert isinstance(read, dict)


PROVE_MUTANTS = """
import sys
import numpy as np
from digits_server.errors import ModelRejected
from digits_server.runtimes.litert import LiteRTRuntime

ran = 0
for path in sys.argv[1:]:
    try:
        runtime = LiteRTRuntime(open(path, "rb").read())
        for size in (1, 3, 256):
            runtime.predict(np.zeros((size, 28, 28), np.uint8))
        ran += 1
    except (ModelRejected, RuntimeError):
        pass
print(ran)
"""


@pytest.mark.parametrize("change", [bytes, hostile_models.with_convolution])
def test_no_mutant_that_its_manifest_vouches_for_brings_the_process_down(
    model: bytes, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    good = change(model)
    chance = random.Random(17)  # the same mutants each time: a crash can be looked into
    paths = []
    for number in range(MUTANTS):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(mutant(good, chance))
    ended = subprocess.run(
        [sys.executable, "-c", PROVE_MUTANTS, *paths], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert 0 < int(ended.stdout) < MUTANTS
