"""The calls of a client, each for threads and for tasks."""
