"""The servers that are measured: ours, those it is compared with, and echoes that show the cost of a transport."""
