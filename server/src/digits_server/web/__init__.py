"""What the server answers over HTTP: metrics and health."""
