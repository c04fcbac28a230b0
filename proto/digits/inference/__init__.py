"""The messages and the service of the Open Inference Protocol, also known as KServe v2."""
