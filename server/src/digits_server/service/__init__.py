"""From requests to predictions: the service itself, its messages, its streams and its image files.

It knows no transport, and no messages except its own two.
"""
