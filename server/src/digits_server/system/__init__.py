"""Services of the operating system: scheduling, memory, open files, signals, ports, background threads."""
