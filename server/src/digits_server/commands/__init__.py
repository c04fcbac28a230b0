"""What an operator asks beside a running server, or before one: is it healthy, can it start."""
