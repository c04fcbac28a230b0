"""TLS certificates and bearer tokens; their files are read again when they change."""
