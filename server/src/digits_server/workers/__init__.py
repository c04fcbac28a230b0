"""One server of several processes: a supervisor, and workers, each of which is a whole server on the same two ports.

    digits-server --workers 2 ── the supervisor: holds the ports, serves nothing
                      ├── worker 1 ── registry, batcher, gRPC port, HTTP port ─┐ shared by SO_REUSEPORT: the kernel
                      └── worker 2 ── registry, batcher, gRPC port, HTTP port ─┘ gives each connection to one of them

`process_role` tells a process whether it is one of several, `worker` is that role. `supervisor` keeps the workers: each
is a `process`, which `children` starts and reaps. `control` carries questions between them, `log_relay` their logs.
`merging` adds up their metrics, and `metric_families` turns metrics into JSON and back.
"""
