"""The reference transport: grpcio's asyncio server. It has TLS, and serves streams of `native` over a Unix socket."""
