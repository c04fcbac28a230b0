"""Large bodies that are slow to convert do not make the supervisor replace workers."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from support.calls.rpc import DEADLINE
from support.servers.process import ServerProcess
from support.servers.workers import all_answer, workers
from support.wire.raw_http import ask, request

CALLERS = 6
LARGEST = 4 * 1024 * 1024


def body(number: str) -> bytes:
    """As many images of this number as fit into the largest body."""
    images = LARGEST // (784 * (len(number) + 1)) - 1
    data = "[" + ",".join([number] * (784 * images)) + "]"
    tensor = {"name": "images", "shape": [images, 784], "datatype": "FP32", "data": "@"}
    return json.dumps({"inputs": [tensor]}).replace('"@"', data).encode()


def test_six_of_the_largest_bodies_at_once_leave_both_workers_running(server: ServerProcess) -> None:
    before = workers(server)
    sent = request("POST", "/v2/models/digits/infer", body=body("1e308"))  # beyond float32, the slowest numbers
    with ThreadPoolExecutor(CALLERS) as pool:
        answering = [pool.submit(partial(ask, server, sent, "POST")) for _ in range(CALLERS)]
        all_answer(server)
        statuses = {answer.result(DEADLINE).status for answer in answering}
    assert statuses <= {400, 429}  # numbers that are too large, or too many bytes at once
    assert 400 in statuses
    assert workers(server) == before
    assert server.metric("digits_worker_replacements_total") == 0
