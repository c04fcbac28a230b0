"""How Envoy comes by its certificate, and by a new one: a folder of files it watches (its secret discovery service)."""

import json
from pathlib import Path
from typing import Any

from digits_server.tls import Identity
from digits_server.transports.envoy.typed import TYPES, typed

TLS_TYPES = f"{TYPES}.extensions.transport_sockets.tls.v3"

IDENTITY, AUTHORITIES = "identity", "authorities"
"""Names of the secrets, and of the files that hold them."""


class Secrets:
    """The files of `folder`, which nobody else may read. The key is not in them: Envoy reads it where it lies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, own: Identity) -> None:
        """Has Envoy show `own` from now on, to new connections."""
        certificate = {
            "certificate_chain": {"inline_string": own.certificate.decode()},
            "private_key": {"filename": str(own.key_file)},
        }
        self._write(IDENTITY, {"tls_certificate": certificate})
        if own.client_ca:
            authorities = {"trusted_ca": {"inline_string": own.client_ca.decode()}}
            self._write(AUTHORITIES, {"validation_context": authorities})

    def transport_socket(self, *, client_certificates: bool) -> dict[str, Any]:
        """Envoy's configuration of TLS for its callers."""
        common = {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "alpn_protocols": ["h2"],
            "tls_certificate_sds_secret_configs": [self._source(IDENTITY)],
        }
        if client_certificates:
            common["validation_context_sds_secret_config"] = self._source(AUTHORITIES)
        context = {"require_client_certificate": client_certificates, "common_tls_context": common}
        return typed("transport_sockets.tls", "DownstreamTlsContext", context)

    def _source(self, name: str) -> dict[str, Any]:
        path = {"path_config_source": {"path": str(self._file(name))}, "resource_api_version": "V3"}
        return {"name": name, "sds_config": path}

    def _write(self, name: str, secret: dict[str, Any]) -> None:
        """Replaces a file in one move, which is what Envoy waits for."""
        resource = {"@type": f"{TLS_TYPES}.Secret", "name": name, **secret}
        unfinished = self._folder / "unfinished"
        unfinished.write_text(json.dumps({"resources": [resource]}))
        unfinished.replace(self._file(name))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"
