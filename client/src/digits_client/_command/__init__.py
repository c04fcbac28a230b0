"""The parts of the command `digits` that are not in the client."""
