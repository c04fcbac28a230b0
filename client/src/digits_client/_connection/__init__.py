"""Channels to servers, and the parts of every RPC besides its message: tokens, metadata, traces, logs."""
