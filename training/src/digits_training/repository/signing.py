"""Signs a version: signs its manifest, which has the hash of every file, with an Ed25519 key (RFC 8032).

Needs the extra `signing`. The signature is the plain 64 bytes, as `openssl pkeyutl -sign -rawin` makes them.
"""

import os
from pathlib import Path
from typing import Any

from digits_training.errors import SettingsError

FILE_NAME = "manifest.json.sig"
_MANIFEST = "manifest.json"


def sign(folder: Path, key_file: Path, public_file: Path | None = None) -> None:
    """Writes the signature of the manifest in `folder`, complete or not at all.

    key_file     the private key in PEM (PKCS #8), without a password
    public_file  file for its public half; if the key does not exist, it is created first

    Raises SettingsError or OSError.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
    except ImportError as error:
        raise SettingsError("signing needs cryptography: install digits-training with its extra 'signing'") from error
    if public_file and not key_file.exists():
        _write(key_file, _private_pem(Ed25519PrivateKey.generate()), 0o600)
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{key_file} is not a private key in PEM format without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{key_file} is not an Ed25519 key")
    if public_file:
        _write(public_file, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    _write(folder / FILE_NAME, key.sign((folder / _MANIFEST).read_bytes()), 0o644)


def _private_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def _write(path: Path, content: bytes, mode: int) -> None:
    """Writes a file complete or not at all, with the permissions `mode` from the start."""
    incoming = path.with_name(f".{path.name}")
    incoming.unlink(missing_ok=True)
    with os.fdopen(os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    incoming.rename(path)
