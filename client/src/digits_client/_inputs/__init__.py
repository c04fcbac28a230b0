"""Turns inputs of callers into requests: images, batches of any length, live sources."""
