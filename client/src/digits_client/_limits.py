"""Every number of the client, with its unit."""

TIMEOUT_SECONDS = 10.0
"""What a call may take unless it says otherwise, retries included."""

IMAGES_PER_RPC = 1024
"""Images a batch is split into: 0.8 MB of pixels, and the server's own batch size."""

FILES_PER_RPC = 64
"""Image files of one RPC: the server's default limit."""

BYTES_PER_RPC = 3 * 1024 * 1024
"""Bytes of image files in one RPC, unless one file alone has more; servers take 4 MiB a message by default."""

RPCS_IN_FLIGHT = 4
"""RPCs of one batch or iterator at once: enough to keep the server busy while replies travel."""

COALESCED_IMAGES = 128
"""Images of one RPC that calls share: with 256 calls in flight the server works on one while the client fills the
next."""

COALESCED_RPCS = 4
"""Such RPCs on the way at once."""

WAITING_IMAGES = 8192
"""Images that wait in a client for an RPC to return, 784 bytes each: what a server lets wait, too."""

ATTEMPTS = 4
"""Tries of one RPC, the first one included, while the server is UNAVAILABLE."""

RETRY_BUFFER_BYTES = 64 * 1024 * 1024
"""Bytes of a request kept to be sent again. A larger one is never retried; gRPC's own 256 KiB is less than a chunk."""

FIRST_BACKOFF_SECONDS = 0.05
MOST_BACKOFF_SECONDS = 1.0

RETRY_TOKENS = 100
"""The retry budget of a client: a failed try takes a token, and at half of them and below nothing is retried. So a
total outage costs at most 50 retries, and one server of two may fail 50 calls at once unseen (gRFC A6, "retry
throttling")."""

RETRY_TOKENS_PER_SUCCESS = 0.1
"""So that lasting trouble is answered with one retry for ten successes at most."""

POLL_SECONDS = 0.05
"""Between two looks at a server that is not ready yet."""

REPLY_BYTES = 64 * 1024 * 1024
"""Bytes of the largest reply accepted: 1,024 images with all probabilities take 60 kB."""

PROGRESS_FILES = 64
"""Files of a command line from which on it tells how far it is, and between two such tellings."""
