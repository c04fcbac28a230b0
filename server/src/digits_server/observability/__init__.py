"""What an operator can see of the whole server: its metrics and its log."""
