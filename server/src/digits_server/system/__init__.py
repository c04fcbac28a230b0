"""What the operating system is asked for: scheduling, open files, signals, ports, a background thread."""
