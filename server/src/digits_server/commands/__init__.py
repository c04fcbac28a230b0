"""Commands that an operator runs next to a server, or before its start: is it healthy, can it start."""
