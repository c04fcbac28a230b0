"""Real servers for tests, one or several, and what stands in front of them."""
