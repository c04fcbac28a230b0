"""A full server refuses calls at once, and says when to try again."""

from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw
from support.calls.rpc import DEADLINE, status_of
from support.models.hostile_models import with_work
from support.models.repositories import copy_version, replace_file
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS


def pictures(count: int, side: int) -> PredictRequest:
    """A bar on a page of `side` × `side`, `count` times."""
    page = Image.new("L", (side, side), 255)
    ImageDraw.Draw(page).line((side // 2, side // 5, side // 2, side * 4 // 5), fill=0, width=side // 12)
    file = BytesIO()
    page.save(file, "PNG")
    return PredictRequest(image_files=[file.getvalue()] * count)


PUSHBACK = {"grpcio": "grpc-retry-pushback-ms", "native": "digits-retry-pushback-ms"}


def test_a_refused_caller_learns_the_limit_and_when_to_retry(repository: Path, transport: str) -> None:
    with ServerProcess("--repository", repository, "--max-waiting-files", "10") as server, server.channel() as channel:
        server.wait_ready()
        stub = PredictionServiceStub(channel)
        busy = stub.Predict.future(pictures(10, side=4000), timeout=DEADLINE)
        until(lambda: server.metric("grpc_server_started_total", grpc_method="Predict") == 1, "the first call is taken")
        refused = stub.Predict.future(pictures(1, side=50), timeout=DEADLINE)
        status, message = status_of(refused.exception(timeout=DEADLINE))
        assert status == "RESOURCE_EXHAUSTED"
        assert "max_waiting_files" in message
        assert int(dict(refused.trailing_metadata())[PUSHBACK[transport]]) > 0
        assert len(busy.result(timeout=DEADLINE).digits) == 10
        assert server.metric("digits_rejected_total", reason="overloaded") == 1
        assert len(stub.Predict(pictures(1, side=50), timeout=DEADLINE).digits) == 1


def test_more_images_than_the_queue_holds_name_the_limit(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--max-queue-size", "100") as server, server.channel() as channel:
        server.wait_ready()
        call = PredictionServiceStub(channel).Predict.future(PredictRequest(images=bytes(784 * 101)), timeout=DEADLINE)
        status, message = status_of(call.exception(timeout=DEADLINE))
    assert status == "RESOURCE_EXHAUSTED"
    assert "101 images" in message
    assert "max_queue_size" in message


def test_batches_of_a_slow_model_are_short(repository: Path, tmp_path: Path) -> None:
    """Calls that arrive while a batch runs can be neither answered nor refused before its end."""
    version = copy_version(repository, tmp_path, 1)
    replace_file(version, "model.tflite", with_work(version.joinpath("model.tflite").read_bytes(), channels=64))
    with ServerProcess("--repository", tmp_path) as server, server.channel() as channel:
        server.wait_ready()
        predict = PredictionServiceStub(channel).Predict
        calls = [predict.future(PredictRequest(images=bytes(784 * 32)), timeout=DEADLINE) for _ in range(30)]
        assert {len(call.result(timeout=DEADLINE).digits) for call in calls} == {32}
        samples = server.samples()
    assert samples["digits_batch_size_sum", frozenset()] >= 30 * 32
    short = samples["digits_batch_size_bucket", frozenset({("le", "64.0")})]
    assert short == samples["digits_batch_size_count", frozenset()]
