"""Signatures of manifests by Ed25519 keys (RFC 8032), which show who published a version.

A manifest holds the hash of every file of its version, so its signature covers all of them. Keys are plain PEM, and the
signature is its 64 bytes, so `openssl` or a key service can make both. Needs the extra `signing`.
"""

import re
from pathlib import Path

from digits_server.errors import ModelRejected, OperatorError
from digits_server.system.regular_files import read_regular

FILE_NAME = "manifest.json.sig"
SIGNATURE_BYTES = 64
MAX_KEY_FILE_BYTES = 64 * 1024

_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


class Signers:
    """The public keys of publishers. One signature by any of them is enough, so that a key can be replaced."""

    def __init__(self, path: Path) -> None:
        """Reads one or more public keys in PEM. Raises OperatorError."""
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
            from cryptography.hazmat.primitives.serialization import load_pem_public_key
        except ImportError as error:
            raise OperatorError(
                "--require-signature needs cryptography: install digits-server with its extra 'signing'"
            ) from error
        try:
            found = _KEY.findall(read_regular(path, MAX_KEY_FILE_BYTES))
            keys = [load_pem_public_key(key) for key in found]
        except (OSError, ValueError) as error:
            raise OperatorError(f"--require-signature: cannot read public keys from {path}") from error
        self._keys = [key for key in keys if isinstance(key, Ed25519PublicKey)]
        if not keys or len(self._keys) < len(keys):
            raise OperatorError(f"--require-signature: expected Ed25519 public keys in PEM in {path}")

    def check(self, manifest: bytes, signature: bytes) -> None:
        """Raises ModelRejected unless one of the keys made `signature` of the bytes of `manifest`."""
        from cryptography.exceptions import InvalidSignature

        for key in self._keys:
            try:
                key.verify(signature, manifest)
            except InvalidSignature:
                continue
            return
        raise ModelRejected("signature", f"{FILE_NAME} is not a signature of manifest.json by a trusted key")
