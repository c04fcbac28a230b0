"""What an operator can see: metrics, traces, the access log and the log itself."""
