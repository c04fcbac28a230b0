"""Real-life pictures of digits, made the same way on every run, and how many of them are recognised."""
