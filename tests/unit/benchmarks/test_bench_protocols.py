"""The requests, and the parsing of answers: both protocols, and the network in NumPy."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.common.cores import numbers, on_cores
from benchmarks.loads.network import Network
from benchmarks.loads.open_inference import infer_probabilities, infer_request
from benchmarks.loads.protocols import DIGITS, framed
from benchmarks.servers.process_tree import cpu_seconds, family, memory, parse_stat
from digits.v1.prediction_pb2 import PredictRequest, PredictResponse

IMAGES = np.arange(2 * 784, dtype=np.int64).astype(np.uint8).reshape(2, 28, 28)

# A reply of Triton 2.51 to the first and second image of the MNIST test set.
TRITON_REPLY = (
    b"\n\x06digits\x12\x011*\x19\n\rprobabilities\x12\x04FP32\x1a\x02\x02\n2P\x06YA8\xbe\xfa\x13/\xabO\x83:\x19\x93\x88;"
    b"\xa0\xa8 4M\xb0\xbf7\xbc\x81).\x16\x81~?\x96\x8d\xb46\x97\xeb\x1c:\x95\x14F9\x81\x08\xd34\xbd\xdc\x7f?\x06fu8\xf7"
    b"\xa8\xa5+\x9cw19>\xb9\xda8\x1b\xf0\xa7'$4\x8c7;\xb1h("
)


def test_a_digits_request_carries_the_pixels() -> None:
    assert PredictRequest.FromString(DIGITS.request(IMAGES)).images == IMAGES.tobytes()
    reply = PredictResponse(digits=[7, 2], confidences=[0.9, 0.8], model_version=1)
    assert DIGITS.digits(reply.SerializeToString()) == [7, 2]


def test_a_frame_is_a_flag_a_length_and_the_message() -> None:
    assert framed(b"abc") == b"\0\0\0\0\3abc"


def test_an_inference_reply_is_read() -> None:
    probabilities = infer_probabilities(TRITON_REPLY)
    assert probabilities.shape == (2, 10)
    assert probabilities.argmax(axis=1).tolist() == [7, 2]
    assert probabilities.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_an_inference_request_names_model_tensors_and_shape() -> None:
    request = infer_request(IMAGES)
    assert request.startswith(b"\x0a\x06digits\x2a\x14\x0a\x06images\x12\x05UINT8\x1a\x03\x02\x1c\x1c")
    assert request.endswith(b"\x3a\xa0\x0c" + IMAGES.tobytes())  # field 7, 1,568 bytes


def test_unknown_wire_types_are_refused() -> None:
    with pytest.raises(ValueError, match="wire type 5"):
        infer_probabilities(b"\x0d\x00\x00\x00\x00")


def test_the_network_is_relu_between_layers_and_softmax_at_the_end(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shapes = [(784, 3), (3,), (3, 10), (10,)]
    network = Network([random.normal(size=shape).astype(np.float32) for shape in shapes])
    (first, bias), (last, offset) = network.layers
    hidden = np.maximum(IMAGES.reshape(2, 784) / 255 @ first + bias, 0)
    scores = np.exp(hidden @ last + offset)
    expected = scores / scores.sum(axis=1, keepdims=True)
    assert network(IMAGES) == pytest.approx(expected, abs=1e-4)
    network.save(tmp_path / "weights.npz")
    assert (Network.load(tmp_path / "weights.npz")(IMAGES) == network(IMAGES)).all()


def test_a_stat_line_is_read_after_the_last_parenthesis() -> None:
    line = "13821 (a (b) c) S 1 13820 13819 0 -1 4194560 9 0 0 0 250 150 9 9 20 0 10 0 5100 1048576 40544"
    stat = parse_stat(line)
    assert (stat.parent, stat.session) == (1, 13819)
    assert stat.cpu_seconds == 400 / os.sysconf("SC_CLK_TCK")


def test_this_process_belongs_to_its_own_family() -> None:
    assert os.getpid() in family(os.getpid())
    assert cpu_seconds(os.getpid()) > 0
    used = memory(os.getpid())
    assert 0 < used.pss <= used.rss


def test_cpu_lists_are_read_as_taskset_reads_them() -> None:
    assert numbers("0") == {0}
    assert numbers("0-2,5") == {0, 1, 2, 5}
    assert on_cores("0", ["echo", Path("x")]) == ["taskset", "--cpu-list", "0", "echo", "x"]
