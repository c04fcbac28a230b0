"""TLS at the shipped Envoy: which callers are accepted, and how certificates change while it runs."""

import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.calls.rpc import DEADLINE, refusal
from support.network.certificates import NAME, Authority, Folder, Pair
from support.servers.front_proxy import FrontProxy, front_proxy, ports_of
from support.servers.process import ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits.v1.prediction_pb2_grpc import PredictionServiceStub


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def folder(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The proxy's folder of certificates: a link, as Kubernetes mounts a secret."""
    where = tmp_path_factory.mktemp("tls")
    put(where, "first", authority.sign(), authority)
    return Folder(where)


@pytest.fixture(scope="module")
def proxy(server: ServerProcess, folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontProxy]:
    with front_proxy(tmp_path_factory.mktemp("envoy"), [ports_of(server)], tls=folder.path) as running:
        yield running


def put(where: Path, name: str, pair: Pair, callers: Authority) -> None:
    """Replaces all files in one move, as Kubernetes renews a secret: `..data` is a link to the folder that counts."""
    Folder(where / name).put(pair, callers)
    link = where / "..new"
    link.symlink_to(name)
    link.replace(where / "..data")
    for file in ("tls.crt", "tls.key", "ca.crt"):
        if not (where / file).is_symlink():
            (where / file).symlink_to(f"..data/{file}")


@contextmanager
def calling(target: str, trusted: Authority, identity: Pair | None = None) -> Iterator[Callable[[], PredictResponse]]:
    """A caller with its own connection that trusts one authority."""
    own = (identity.key, identity.certificate) if identity else (None, None)
    credentials = grpc.ssl_channel_credentials(trusted.certificate, *own)
    options = [("grpc.ssl_target_name_override", NAME), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(target, credentials, options) as channel:
        stub = PredictionServiceStub(channel)
        yield lambda: stub.Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE)


def shown_by(target: str) -> str:
    """The certificate that the proxy uses there, as PEM."""
    host, _, port = target.rpartition(":")
    return ssl.get_server_certificate((host, int(port)), timeout=DEADLINE)


def test_a_caller_that_trusts_the_authority_is_answered(proxy: FrontProxy, authority: Authority) -> None:
    with calling(proxy.tls_target, authority) as predict:
        assert len(predict().digits) == 1


def test_a_caller_that_does_not_trust_it_sends_nothing(proxy: FrontProxy) -> None:
    with calling(proxy.tls_target, Authority()) as predict:
        assert refusal(predict)[0] == "UNAVAILABLE"


def test_plaintext_is_not_spoken_on_a_port_with_tls(proxy: FrontProxy) -> None:
    with grpc.insecure_channel(proxy.tls_target) as channel:
        stub = PredictionServiceStub(channel)
        status, _ = refusal(lambda: stub.Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE))
    assert status == "UNAVAILABLE"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # old ones are what it offers
def test_nothing_older_than_tls_1_2_is_spoken(proxy: FrontProxy) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    host, _, port = proxy.tls_target.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)


def test_mutual_tls_takes_callers_with_a_certificate_and_no_others(proxy: FrontProxy, authority: Authority) -> None:
    with calling(proxy.mutual_tls_target, authority, authority.sign()) as predict:
        assert len(predict().digits) == 1
    for identity in (None, Authority().sign()):
        with calling(proxy.mutual_tls_target, authority, identity) as predict:
            assert refusal(predict)[0] == "UNAVAILABLE"


def test_renewed_files_are_shown_and_believed_without_a_restart_and_connections_go_on(
    proxy: FrontProxy, folder: Folder, authority: Authority
) -> None:
    renewed, callers = authority.sign(), Authority()
    with calling(proxy.mutual_tls_target, authority, authority.sign()) as predict:
        predict()
        put(folder.path, "second", renewed, callers)
        first = renewed.certificate.decode().partition("-----END")[0]
        until(lambda: shown_by(proxy.tls_target).partition("-----END")[0] == first, "the new certificate is shown")
        until(lambda: is_taken(proxy, authority, callers.sign()), "callers of the new authority are taken")
        assert not is_taken(proxy, authority, authority.sign())
        assert len(predict().digits) == 1


def test_prometheus_sees_the_end_of_the_certificate_and_files_that_cannot_be_used(
    server: ServerProcess, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "tls").mkdir()
    put(tmp_path / "tls", "first", authority.sign(not_after=datetime.now(UTC) + timedelta(days=5.5)), authority)
    with front_proxy(tmp_path, [ports_of(server)], tls=tmp_path / "tls") as alone:
        assert metric(alone, "envoy_server_days_until_first_cert_expiring") == 5
        assert metric(alone, "envoy_cluster_membership_healthy", envoy_cluster_name="digits") == 1
        failed = {"envoy_xds_resource_name": "certificate"}
        assert metric(alone, "envoy_sds_key_rotation_failed", **failed) == 0
        put(tmp_path / "tls", "second", Pair(authority.sign().certificate, b"not a key"), authority)
        until(lambda: metric(alone, "envoy_sds_key_rotation_failed", **failed) > 0, "the failed reload is counted")


def metric(proxy: FrontProxy, name: str, **labels: str) -> float:
    """The one sample of this name with these labels, among what Prometheus reads."""
    with urllib.request.urlopen(f"{proxy.metrics}/stats/prometheus", timeout=10) as page:
        families = text_string_to_metric_families(page.read().decode())
        (value,) = (
            sample.value
            for family in families
            for sample in family.samples
            if sample.name.removesuffix("_total") == name and labels.items() <= sample.labels.items()
        )
    return float(value)


def is_taken(proxy: FrontProxy, trusted: Authority, identity: Pair) -> bool:
    with calling(proxy.mutual_tls_target, trusted, identity) as predict:
        try:
            return len(predict().digits) == 1
        except grpc.RpcError:
            return False


def test_without_certificates_the_ports_with_tls_close_every_connection_and_the_others_serve(
    server: ServerProcess, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "tls").mkdir()
    with front_proxy(tmp_path, [ports_of(server)], tls=tmp_path / "tls") as bare:
        with calling(bare.tls_target, authority) as predict:
            assert refusal(predict)[0] == "UNAVAILABLE"
        with grpc.insecure_channel(bare.target) as channel:
            stub = PredictionServiceStub(channel)
            assert len(stub.Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE).digits) == 1
