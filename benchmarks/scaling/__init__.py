"""How throughput grows with replicas, and what a proxy in front of them costs: the figures of docs/scaling.md."""
