"""Channels to servers, and what goes with every RPC: tokens, metadata, traces, logs."""
