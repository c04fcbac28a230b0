"""Images that wait for a model, and the batches in which they are computed.

This package knows neither gRPC nor models: a batcher gets one function, and images with deadlines.
"""
