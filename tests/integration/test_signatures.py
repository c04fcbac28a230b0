"""With --require-signature only versions with a trusted signature are served."""

import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.models.repositories import edit_manifest
from support.models.variants import publish
from support.servers.following import following
from support.servers.process import SCRIPTS, run_server
from support.waiting import until


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder of two key pairs: ours.pem, ours.pub, theirs.pem, theirs.pub."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ("ours", "theirs"):
        key = Ed25519PrivateKey.generate()
        folder.joinpath(f"{name}.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        folder.joinpath(f"{name}.pub").write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
    return folder


@pytest.fixture
def root(repository: Path, tmp_path: Path) -> Path:
    publish(repository, tmp_path / "models", 1)
    return tmp_path / "models"


def sign(root: Path, version: int, key: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / "digits-train", "sign", str(version), "--repository", root, "--sign-key", key],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_version_without_a_trusted_signature_is_rejected_until_it_has_one(
    repository: Path, root: Path, keys: Path
) -> None:
    assert sign(root, 1, keys / "ours.pem").returncode == 0
    with following(root, "--require-signature", str(keys / "ours.pub")) as follower:
        publish(repository, root, 2)
        follower.wait_for({1: "SERVING", 2: "REJECTED"})
        assert follower.reason(2) == "manifest.json.sig is missing"
        sign(root, 2, keys / "theirs.pem")
        until(lambda: "not a signature of manifest.json by a trusted key" in follower.reason(2), "it is refused")
        assert follower.server.metric("digits_model_load_failures_total", reason="signature") >= 1
        assert follower.answer() == (1, 1)
        sign(root, 2, keys / "ours.pem")
        follower.wait_for({1: "SERVING", 2: "SERVING"})
        assert follower.answer() == (2, 2)


def test_a_manifest_changed_after_it_was_signed_is_rejected(root: Path, keys: Path) -> None:
    sign(root, 1, keys / "ours.pem")
    edit_manifest(root / "digits/1", lambda manifest: manifest.update(goldenTolerance=1))
    ended = run_server("--repository", root, "--require-signature", keys / "ours.pub")
    assert ended.returncode == 1
    assert "not a signature of manifest.json" in ended.stderr


def test_any_of_several_trusted_keys_is_enough(root: Path, keys: Path) -> None:
    both = keys / "both.pub"
    both.write_bytes(keys.joinpath("theirs.pub").read_bytes() + keys.joinpath("ours.pub").read_bytes())
    sign(root, 1, keys / "ours.pem")
    with following(root, "--require-signature", str(both)) as follower:
        assert follower.answer() == (1, 1)


def test_a_signature_made_by_openssl_is_as_good(root: Path, keys: Path) -> None:
    version = root / "digits/1"
    command: list[str | Path] = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", keys / "ours.pem"]
    files: list[str | Path] = ["-in", version / "manifest.json", "-out", version / "manifest.json.sig"]
    subprocess.run([*command, *files], check=True, timeout=60)
    with following(root, "--require-signature", str(keys / "ours.pub")) as follower:
        assert follower.answer() == (1, 1)


def test_models_verify_and_pin_ask_for_the_signature_too(root: Path, keys: Path) -> None:
    told: list[str | Path] = ["--repository", root, "--require-signature", keys / "ours.pub"]
    for command in (["verify"], ["pin", "1"]):
        ended = subprocess.run(
            [SCRIPTS / "digits-server", "models", *command, *told],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 1
        assert "manifest.json.sig is missing" in ended.stdout + ended.stderr


def test_an_invalid_key_is_reported_at_the_start(root: Path, keys: Path) -> None:
    keys.joinpath("garbage").write_text("no key")
    other = generate_private_key(SECP256R1()).public_key()
    keys.joinpath("other.pub").write_bytes(
        other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for name in ("missing", "garbage", "other.pub", "ours.pem"):
        ended = run_server("--repository", root, "--require-signature", keys / name)
        assert ended.returncode == 1
        assert "--require-signature" in ended.stderr.splitlines()[-1]
        assert "Traceback" not in ended.stderr


def test_the_training_job_makes_the_key_pair_that_it_was_not_given(root: Path, tmp_path: Path) -> None:
    private, public = tmp_path / "publisher.pem", tmp_path / "publisher.pub"
    command: list[str | Path] = [SCRIPTS / "digits-train", "sign", "1", "--repository", root]
    places = {"DIGITS_SIGN_KEY": str(private), "DIGITS_PUBLIC_KEY": str(public)}
    subprocess.run(command, env=os.environ | places, check=True, capture_output=True, timeout=60)
    assert private.stat().st_mode & 0o777 == 0o600
    made = private.read_bytes()
    with following(root, "--require-signature", str(public)) as follower:
        assert follower.answer() == (1, 1)
    subprocess.run(command, env=os.environ | places, check=True, capture_output=True, timeout=60)
    assert private.read_bytes() == made


def test_only_an_ed25519_key_signs(root: Path, keys: Path) -> None:
    ended = sign(root, 1, keys / "ours.pub")
    assert ended.returncode == 2
    assert "is not a private key in PEM" in ended.stderr
    assert not root.joinpath("digits/1/manifest.json.sig").exists()
