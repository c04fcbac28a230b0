"""For tests of digits_client: both clients, a server that follows a script, and what they send it."""
