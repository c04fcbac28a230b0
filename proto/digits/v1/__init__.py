"""The contracts of Digits, version 1: `prediction_pb2` (RPCs) and `manifest_pb2` (the model artifact)."""
