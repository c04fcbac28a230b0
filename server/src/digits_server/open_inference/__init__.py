"""The Open Inference Protocol, also known as KServe v2, in front of the same service: over gRPC and over HTTP."""
