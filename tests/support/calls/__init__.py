"""Calls as tests make them: RPCs and HTTP, one by one or without end, and what must come back."""
