"""Other programs beside a server: monitoring, containers, clients in other languages, wheels."""
