"""`grpc.health.v1.Health/Check` without its package: the two messages have one field each.

Written from the protocol buffers encoding (protobuf.dev/programming-guides/encoding) and health.proto.
"""

CHECK = "/grpc.health.v1.Health/Check"
SERVING = 1


def request(service: str) -> bytes:
    """HealthCheckRequest: field 1, the service's name, length-delimited. The name has at most 127 bytes."""
    name = service.encode()
    return b"\x0a" + bytes([len(name)]) + name if name else b""


def is_serving(reply: bytes) -> bool:
    """HealthCheckResponse: field 1, the status, a varint; absent when 0."""
    return reply == bytes([0x08, SERVING])
