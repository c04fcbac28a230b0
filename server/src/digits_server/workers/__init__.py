"""One server of several processes: a supervisor, and workers that each are a whole server on the same two ports.

    digits-server --workers 2 ── the supervisor: holds the ports, serves nothing
                      ├── worker 1 ── registry, batcher, gRPC port, HTTP port ─┐ shared by SO_REUSEPORT: the kernel
                      └── worker 2 ── registry, batcher, gRPC port, HTTP port ─┘ gives each connection to one of them

`role` is how a server learns whether it is one of several; `worker` is that role; `supervisor` keeps the workers, each
a `process` that `children` starts and reaps; `control` carries their questions, `lines` their logs; `merging` adds up
their metrics, `families` turns those into JSON and back.
"""
