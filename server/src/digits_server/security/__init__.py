"""TLS certificates and bearer tokens, read again when their files change."""
