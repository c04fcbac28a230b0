"""Images that wait for a model, and the batches they are computed in.

It knows no gRPC and no model: a batcher is given one function, and images with deadlines.
"""
