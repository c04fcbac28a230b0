"""What is answered over HTTP: probes and metrics, the Open Inference Protocol, the page."""
