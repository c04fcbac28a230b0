"""The stubs of other packages have the names of the Open Inference Protocol too: ours do not conflict with them."""

import subprocess
import sys
import sysconfig

import pytest
from support.calls.open_inference import CLIENTS

SECONDS = 100.0
"""Deadline of one process."""


@pytest.mark.parametrize("order", [["ours", "theirs"], ["theirs", "ours"]], ids=" then ".join)
def test_our_stubs_and_those_of_tritonclient_fit_into_one_process(order: list[str]) -> None:
    imports = {
        "ours": "from digits.inference.inference_pb2 import ModelInferRequest as Ours",
        "theirs": "from tritonclient.grpc.service_pb2 import ModelInferRequest as Theirs",
    }
    packages = sysconfig.get_path("purelib", vars={"base": str(CLIENTS)})
    code = "\n".join(
        [
            f"import sys; sys.path.append({packages!r})",  # after our own: protobuf is ours
            *(imports[name] for name in order),
            "message = Ours(model_name='digits', inputs=[{'name': 'images', 'shape': [2, 784]}])",
            "assert Theirs.FromString(message.SerializeToString()).inputs[0].shape == [2, 784]",
            "assert Theirs is not Ours",
        ]
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 0, ended.stderr
