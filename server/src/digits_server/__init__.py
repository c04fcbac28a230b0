"""The server of Digits: gRPC predictions of handwritten digits, from a verified model, with Prometheus metrics."""
