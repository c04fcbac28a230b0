"""Load that does not wait for answers, and what became of it."""
