"""Protobuf packages of Digits; the version is the next name: `digits.v1`."""
