"""The Open Inference Protocol, also known as KServe v2, onto the same service: over gRPC and over HTTP."""
