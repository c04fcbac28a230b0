"""Names, ports and TLS of this machine."""
