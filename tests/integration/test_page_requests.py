"""The requests of the page, over plain HTTP: predictions, the model, its files; and what it must not answer."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.calls.http_client import ask
from support.calls.rpc import DEADLINE
from support.pictures.pixels import png
from support.servers.process import ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

FOUR_MIB = 4 * 1024 * 1024


def test_a_prediction_agrees_with_the_rpc_and_shows_the_pixels(
    server: ServerProcess, stub: PredictionServiceStub, test_images: NDArray[np.uint8]
) -> None:
    file = png(test_images[3])
    reply = ask(server, "POST", "/predict", file, content_type="image/png")
    rpc = stub.Predict(PredictRequest(image_files=[file], include_probabilities=True), timeout=DEADLINE)
    said = reply.json()
    assert reply.status == 200
    assert said["digit"] == rpc.digits[0]
    assert said["confidence"] == pytest.approx(rpc.confidences[0], abs=1e-6)
    assert said["probabilities"] == pytest.approx(list(rpc.probabilities), abs=1e-6)
    assert said["model_version"] == rpc.model_version
    assert base64.b64decode(said["pixels"]) == test_images[3].tobytes()
    assert reply.headers["cache-control"] == "no-store"


def test_a_program_that_asks_for_the_score_of_unlike_gets_it_or_null(
    server: ServerProcess, scored_repository: Path, test_images: NDArray[np.uint8]
) -> None:
    file = png(test_images[3])
    assert "unlike" not in ask(server, "POST", "/predict", file, content_type="image/png").json()
    assert ask(server, "POST", "/predict?unlike=true", file, content_type="image/png").json()["unlike"] is None
    with ServerProcess("--repository", scored_repository) as scoring:
        scoring.wait_ready()
        assert "unlike" not in ask(scoring, "POST", "/predict", file, content_type="image/png").json()
        said = ask(scoring, "POST", "/predict?unlike=true", file, content_type="image/png").json()
        assert 0 < said["unlike"] < 2


def test_predictions_of_the_page_are_counted_like_any(server: ServerProcess, test_images: NDArray[np.uint8]) -> None:
    before = server.metric("digits_predictions_total"), server.metric("digits_rejected_total", reason="invalid")
    ask(server, "POST", "/predict", png(test_images[0]), content_type="image/png")
    ask(server, "POST", "/predict", b"no picture", content_type="image/png")
    after = server.metric("digits_predictions_total"), server.metric("digits_rejected_total", reason="invalid")
    assert after == (before[0] + 1, before[1] + 1)


def test_every_answer_is_counted_under_its_route(server: ServerProcess, test_images: NDArray[np.uint8]) -> None:
    asked = [
        ("GET", "/", b"", 200, "/"),
        ("POST", "/predict", png(test_images[0]), 200, "/predict"),
        ("POST", "/predict", b"no picture", 400, "/predict"),
        ("GET", "/model", b"", 200, "/model"),
        ("GET", "/model/1/report/history.png", b"", 200, "/model/{version:int}/report/{name}"),
        ("GET", "/model/1/report/made-up.png", b"", 404, "/model/{version:int}/report/{name}"),
    ]
    for method, path, body, status, route in asked:
        labels = {"route": route, "status": str(status)}
        before = server.metric("digits_http_requests_total", **labels)
        assert ask(server, method, path, body, content_type="image/png").status == status
        assert server.metric("digits_http_requests_total", **labels) == before + 1
    routes = {dict(found).get("route", "") for name, found in server.samples() if name == "digits_http_requests_total"}
    assert not any("made-up" in route for route in routes)


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""]
)
def test_content_types_of_forms_are_refused(server: ServerProcess, kind: str) -> None:
    reply = ask(server, "POST", "/predict", b"x=1", content_type=kind)
    assert reply.status == 415
    assert "image's content type" in reply.json()["error"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browser_that_says_another_site_asks_is_refused(
    server: ServerProcess, test_images: NDArray[np.uint8], site: str
) -> None:
    reply = ask(server, "POST", "/predict", png(test_images[0]), content_type="image/png", sec_fetch_site=site)
    assert reply.status == 403
    assert "own page" in reply.json()["error"]


def test_a_browser_that_asks_for_another_sites_permission_is_refused(server: ServerProcess) -> None:
    reply = ask(server, "OPTIONS", "/predict", origin="https://example.org", access_control_request_method="POST")
    assert reply.status == 403
    assert not any(name.lower().startswith("access-control") for name in reply.headers)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_predictions_are_posted_and_nothing_else(server: ServerProcess, method: str) -> None:
    assert ask(server, method, "/predict").status == 405


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"", 400, "got none"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 400, "not a valid PNG, JPEG, WebP or GIF file"),
        (png(np.full((40, 40), 255, np.uint8)), 400, "got one even shade"),
        (bytes(FOUR_MIB + 1), 413, "max_message_bytes"),
    ],
    ids=["nothing", "svg", "an empty sheet", "too much"],
)
def test_a_request_that_cannot_be_answered_gets_a_sentence(
    server: ServerProcess, body: bytes, status: int, sentence: str
) -> None:
    reply = ask(server, "POST", "/predict", body, content_type="image/png")
    assert reply.status == status
    assert sentence in reply.json()["error"]
    assert "Traceback" not in reply.body.decode()
    assert "/" not in reply.json()["error"].replace("1/", "")


def test_the_page_allows_itself_only_its_own_script_and_style(server: ServerProcess) -> None:
    reply = ask(server, "GET", "/")
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    page = reply.body.decode()
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page


@pytest.mark.parametrize("path", ["/", "/model", "/model/1/report/history.png"])
def test_a_file_in_the_browsers_cache_is_not_sent_again(server: ServerProcess, path: str) -> None:
    first = ask(server, "GET", path)
    again = ask(server, "GET", path, if_none_match=first.headers["etag"])
    assert (first.status, first.headers["cache-control"]) == (200, "no-cache")
    assert (again.status, again.body) == (304, b"")
    assert ask(server, "GET", path, if_none_match='"another"').status == 200


def test_the_model_is_what_its_manifest_says(server: ServerProcess, repository: Path) -> None:
    manifest = json.loads((repository / "digits/1/manifest.json").read_text())
    model = ask(server, "GET", "/model").json()
    assert model["version"] == 1
    assert model["test_accuracy"] == manifest["metrics"]["testAccuracy"]
    assert model["network"] == "mlp"
    assert set(model["report"]) == {path.name for path in (repository / "digits/1/report").iterdir()}


def test_the_page_can_be_turned_off(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--no-page") as server:
        server.wait_ready()
        assert [ask(server, "GET", path).status for path in ("/", "/model", "/predict", "/readyz")] == [404] * 3 + [200]


def test_the_documented_paths_open_the_page_where_others_need_a_token(repository: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("a" * 40 + "\n")
    opened = "/healthz,/readyz,/,/predict,/model*"
    assert "`/,/predict,/model*`" in Path("docs/playground.md").read_text()
    with ServerProcess("--repository", repository, "--tokens", tokens, "--http-open", opened) as server:
        server.wait_ready()
        paths = ("/", "/model", "/model/1/report/history.png", "/metrics")
        assert [ask(server, "GET", path).status for path in paths] == [200, 200, 200, 401]
