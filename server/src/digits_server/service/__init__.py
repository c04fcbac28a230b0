"""From requests to predictions: the service itself, its messages, its streams and its image files.

It knows no transport, and only its own two messages.
"""
