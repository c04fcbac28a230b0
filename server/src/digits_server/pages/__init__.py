"""The HTTP endpoints: probes and metrics, the Open Inference Protocol, the page."""
