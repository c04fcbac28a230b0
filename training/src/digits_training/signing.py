"""Signs a version: its manifest, which has the hash of every file, with an Ed25519 key (RFC 8032).

Needs `digits-training[signing]`. The signature is the plain 64 bytes, as `openssl pkeyutl -sign -rawin` makes them.
"""

import os
from pathlib import Path

from digits_training.errors import SettingsError

FILE_NAME = "manifest.json.sig"
_MANIFEST = "manifest.json"


def sign(folder: Path, key_file: Path) -> None:
    """Writes the signature of the manifest in `folder`, whole or not at all.

    `key_file` holds the private key in PEM (PKCS #8), without a password. Raises SettingsError or OSError.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise SettingsError("signing needs the extra digits-training[signing]") from error
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{key_file} is no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{key_file} is no Ed25519 key")
    signature = key.sign((folder / _MANIFEST).read_bytes())
    incoming = folder / f".{FILE_NAME}"
    with incoming.open("wb") as file:
        file.write(signature)
        file.flush()
        os.fsync(file.fileno())
    incoming.rename(folder / FILE_NAME)
