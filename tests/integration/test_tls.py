"""TLS on the gRPC port: which callers are accepted, and how certificates change while the server runs."""

import ssl
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from support.calls.rpc import refusal
from support.network.certificates import Authority, Folder, Pair
from support.network.tls import answered, calling, handshake, leaf, put_back, replace, shown_by
from support.servers.process import OVER_GRPCIO, ServerProcess, run_server
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_GRPCIO
RELOADED = "the TLS certificate reloaded"
NOT_RELOADED = "the TLS certificate not reloaded"
PAST = datetime(2020, 1, 1)
FUTURE = datetime(2100, 1, 1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def folder(authority: Authority, transport: str, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The files of `server`. Tests that change them put a good pair of `authority` back."""
    return Folder.signed_by(authority, tmp_path_factory.mktemp(f"tls-{transport}") / "live")


@pytest.fixture(scope="module")
def server(repository: Path, transport: str, folder: Folder) -> Iterator[ServerProcess]:  # noqa: ARG001
    with ServerProcess("--repository", repository, "--log-level", "debug", *folder.flags) as running:
        yield running.wait_ready()


@pytest.fixture(scope="module")
def strict_folder(authority: Authority, transport: str, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The files of `strict_server`."""
    return Folder.signed_by(authority, tmp_path_factory.mktemp(f"mutual-tls-{transport}") / "live")


@pytest.fixture(scope="module")
def strict_server(repository: Path, transport: str, strict_folder: Folder) -> Iterator[ServerProcess]:  # noqa: ARG001
    """A server that requires a certificate of the authority from its callers."""
    with ServerProcess("--repository", repository, *strict_folder.mutual_flags) as running:
        yield running.wait_ready()


def test_a_caller_that_trusts_the_authority_is_answered(server: ServerProcess, authority: Authority) -> None:
    with calling(server, authority) as call:
        assert len(call().digits) == 1


def test_only_a_caller_without_tls_is_refused(server: ServerProcess, authority: Authority) -> None:
    with calling(server, authority) as call, server.channel() as plain:
        status, _ = refusal(lambda: PredictionServiceStub(plain).Predict(PredictRequest(images=bytes(784)), timeout=5))
        assert status == "UNAVAILABLE"
        assert len(call().digits) == 1


def test_a_caller_with_a_certificate_of_the_authority_is_answered(
    strict_server: ServerProcess, authority: Authority
) -> None:
    with calling(strict_server, authority, authority.sign()) as call:
        assert len(call().digits) == 1


def test_a_caller_without_a_certificate_is_turned_away(strict_server: ServerProcess, authority: Authority) -> None:
    with calling(strict_server, authority) as call:
        assert refusal(call)[0] == "UNAVAILABLE"


def test_a_caller_with_a_certificate_of_another_authority_is_turned_away(
    strict_server: ServerProcess, authority: Authority
) -> None:
    with calling(strict_server, authority, Authority().sign()) as call:
        assert refusal(call)[0] == "UNAVAILABLE"


def test_a_caller_whose_certificate_has_expired_is_turned_away(
    strict_server: ServerProcess, authority: Authority
) -> None:
    with calling(strict_server, authority, authority.sign(not_before=PAST, not_after=PAST)) as call:
        assert refusal(call)[0] == "UNAVAILABLE"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken_and_http_2_is_agreed(server: ServerProcess, version: ssl.TLSVersion) -> None:
    with handshake(server, version) as connection:
        assert connection.version() == version.name.replace("_", ".")
        assert connection.selected_alpn_protocol() == "h2"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_older_versions_of_tls_are_not_spoken(server: ServerProcess, version: str) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)), handshake(server, ssl.TLSVersion[version]):
        pass


def test_a_new_certificate_is_shown_to_new_callers_while_old_connections_go_on(
    server: ServerProcess, authority: Authority, folder: Folder
) -> None:
    other = Authority()
    with calling(server, authority) as old_caller:
        old_caller()
        folder.put(other.sign())
        server.wait_for_log(RELOADED)
        until(lambda: answered(server, other), "the new certificate is shown")
        assert not answered(server, authority)
        assert len(old_caller().digits) == 1
    put_back(server, authority, folder)


def test_files_swapped_by_a_link_the_way_kubernetes_does_are_noticed(
    repository: Path, authority: Authority, tmp_path: Path
) -> None:
    first, second = authority.sign(), authority.sign()
    Folder(tmp_path / "first").put(first)
    Folder(tmp_path / "second").put(second)
    (tmp_path / "data").symlink_to("first")
    mounted = Folder(tmp_path / "mounted")
    mounted.path.mkdir()
    for name in ("tls.crt", "tls.key"):
        (mounted.path / name).symlink_to(tmp_path / "data" / name)
    with ServerProcess("--repository", repository, *mounted.flags) as server:
        assert shown_by(server) == leaf(first)
        (tmp_path / "new").symlink_to("second")
        (tmp_path / "new").replace(tmp_path / "data")
        server.wait_for_log(RELOADED)
        until(lambda: shown_by(server) == leaf(second), "the new certificate is shown")


def test_a_new_certificate_that_cannot_be_used_is_named_in_the_log_and_the_old_one_stays(
    server: ServerProcess, authority: Authority, folder: Folder
) -> None:
    good, other = authority.sign(), authority.sign()
    folder.put(good)
    until(lambda: shown_by(server) == leaf(good), "the good certificate is shown")
    broken = {
        "is not the key of": Pair(good.certificate, other.key),
        "expected PEM": Pair(b"no certificate\n", good.key),
        "has expired": authority.sign(not_before=PAST, not_after=PAST),
        "not yet valid": authority.sign(not_before=FUTURE),
    }
    for reason, pair in broken.items():
        replace(folder.path / "tls.crt", pair.certificate)
        replace(folder.path / "tls.key", pair.key)
        said = server.wait_for_log(NOT_RELOADED)
        assert said["level"] == "error"
        assert reason in said["message"]
        assert shown_by(server) == leaf(good)
    (folder.path / "tls.key").unlink()
    assert "No such file" in server.wait_for_log(NOT_RELOADED)["message"]
    assert answered(server, authority)
    put_back(server, authority, folder)


def test_new_authorities_decide_on_new_callers(
    strict_server: ServerProcess, authority: Authority, strict_folder: Folder
) -> None:
    other = Authority()
    with calling(strict_server, authority, authority.sign()) as early_caller:
        early_caller()
        (strict_folder.path / "ca.crt").write_bytes(other.certificate)
        strict_server.wait_for_log(RELOADED)
        until(lambda: answered(strict_server, authority, other.sign()), "callers of the new authority are taken")
        assert not answered(strict_server, authority, authority.sign())
        assert len(early_caller().digits) == 1
    (strict_folder.path / "ca.crt").write_bytes(authority.certificate)
    until(lambda: answered(strict_server, authority, authority.sign()), "callers of the old one are taken again")


def test_each_of_several_workers_takes_up_new_certificates(
    repository: Path, authority: Authority, tmp_path: Path
) -> None:
    folder, new = Folder(tmp_path / "tls"), authority.sign()
    folder.put(authority.sign())
    with ServerProcess("--repository", repository, "--workers", "2", *folder.flags) as server:
        server.wait_ready()
        folder.put(new)
        server.wait_for_log(RELOADED)
        server.wait_for_log(RELOADED)
        until(lambda: {shown_by(server) for _ in range(8)} == {leaf(new)}, "both workers show it")


def test_when_the_certificate_expires_is_a_metric(server: ServerProcess, authority: Authority, folder: Folder) -> None:
    folder.put(authority.sign(not_after=FUTURE))
    expiry = partial(server.metric, "digits_tls_certificate_expiry_seconds")
    until(lambda: expiry() == 4102444800, "the metric is that of the new certificate")
    put_back(server, authority, folder)


def test_the_key_is_in_no_line_of_the_log(server: ServerProcess, folder: Folder) -> None:
    lines = (folder.path / "tls.key").read_text().splitlines()[1:-1]
    assert lines
    log = "".join(server.stderr)
    assert not [line for line in lines if line in log]


def test_a_stop_under_tls_answers_its_callers_and_leaves_nothing_behind(
    repository: Path, authority: Authority, folder: Folder, tmp_path: Path
) -> None:
    private = {"TMPDIR": str(tmp_path)}
    with ServerProcess("--repository", repository, *folder.mutual_flags, environment=private) as server:
        server.wait_ready()
        with calling(server, authority, authority.sign()) as call:
            call()
            server.terminate()
            assert server.wait() == 0
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_used_are_one_clear_sentence_and_exit_1(
    repository: Path, authority: Authority, tmp_path: Path
) -> None:
    folder = Folder(tmp_path / "tls")
    folder.put(Pair(authority.sign().certificate, authority.sign().key))
    ended = run_server("--repository", repository, *folder.flags)
    key, certificate = folder.path / "tls.key", folder.path / "tls.crt"
    assert ended.returncode == 1
    assert ended.stderr == f"Error: --tls-key: {key} is not the key of {certificate}\n"
