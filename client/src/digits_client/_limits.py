"""Every number of the client, with its unit."""

TIMEOUT_SECONDS = 10.0
"""Default timeout of a call, retries included."""

LONGEST_SECONDS = 365 * 24 * 3600.0
"""The timeout that stands for "no limit": gRPC's own arithmetic overflows with larger timeouts."""

IMAGES_PER_RPC = 1024
"""Images a batch is split into: 0.8 MB of pixels, and the server's own batch size."""

FILES_PER_RPC = 16
"""Image files of one RPC. A photograph takes a server some 30 ms, the largest picture half a second: so each RPC is
answered well within its timeout, and two of them hold an eighth of the server's queue for files."""

BYTES_PER_RPC = 3 * 1024 * 1024
"""Bytes of image files in one RPC, unless one file alone has more; servers take 4 MiB a message by default."""

RPCS_IN_FLIGHT = 4
"""RPCs of one batch or iterator at once: enough to keep the server busy while replies travel."""

FILE_RPCS_IN_FLIGHT = 2
"""The same for image files: one RPC is decoded while the next one travels."""

COALESCED_IMAGES = 128
"""Images of one RPC that calls share: with 256 calls in flight the server works on one while the client fills the
next."""

COALESCED_RPCS = 4
"""Shared RPCs in flight at once."""

USUAL_RPC_SECONDS = 0.05
"""The assumed duration of a shared RPC before the first one has been answered."""

USUAL_RPC_WEIGHT = 0.1
"""Weight of each answered RPC in the running average of their durations."""

PATIENCE = 4
"""Calls wait behind an RPC of their kind for at most this many usual durations; then they are sent without it."""

LEAST_PATIENCE_SECONDS = 0.02
"""Shortest such wait, so that a pause of the garbage collector or of the scheduler does not split an RPC."""

MOST_PATIENCE_SECONDS = 0.25
"""Longest such wait, even if servers are slow: a call's timeout is often a second."""

WAITING_IMAGES = 8192
"""Images that may wait in a client for an RPC to return, 784 bytes each."""

ATTEMPTS = 5
"""Tries of one RPC, the first one included, while the server is UNAVAILABLE."""

RETRY_BUFFER_BYTES = 64 * 1024 * 1024
"""Bytes of a request kept to be sent again. A larger one is never retried; gRPC's own 256 KiB is less than a chunk."""

FIRST_BACKOFF_SECONDS = 0.01
"""Pause before the first retry: short, so that a call with a timeout of 50 ms can still be retried when its server
stops."""

MOST_BACKOFF_SECONDS = 1.0

RETRY_TOKENS = 100
"""The retry budget of a client, in tokens: a failed try takes a token, and with half of them or fewer the client does
not retry. So a total outage costs at most 50 retries, and if one of two servers fails, callers do not notice the
failure of 50 calls at once (gRFC A6, "retry throttling")."""

RETRY_TOKENS_PER_SUCCESS = 0.1
"""Tokens that a success gives back, so that in lasting trouble there is at most one retry for ten successes."""

DEFAULT_PORT = 50051
"""The port of a target that names a host only."""

KEEPALIVE_MILLISECONDS = 5_000
"""If a server with calls in flight is silent for this long, the client sends it an HTTP/2 ping."""

KEEPALIVE_TIMEOUT_MILLISECONDS = 5_000
"""Time for the answer to that ping. Then the connection is closed, and other servers get its share."""

FIRST_RECONNECT_MILLISECONDS = 100
MOST_RECONNECT_MILLISECONDS = 500
"""Time between two attempts to connect to a server that is down. gRPC adds up to a fifth; its own maximum is two
minutes."""

CONNECT_MILLISECONDS = 5_000
"""Time for one attempt to connect, TLS included. Within an attempt the system tries less and less often. With gRPC's
own twenty seconds, the client would find a machine that has come back too late."""

RESOLVE_MILLISECONDS = 1_000
"""Time between two look-ups of a name's addresses. gRPC's own thirty seconds are long for a server that has moved."""

EJECTION_LOOK_SECONDS = 2
EJECTION_LEAST_CALLS = 2
EJECTION_FAILURE_PERCENT = 90
EJECTION_SECONDS = 30
MOST_EJECTED_PERCENT = 50
"""If one of several servers failed more than this share of at least this many calls since the last check, it is skipped
for a time (gRFC A50), because it may be frozen. gRPC's keepalive does not find it: every new call that is sent resets
its timer."""

SHOWN_CHARACTERS = 100
"""Characters of a caller's own string that an error message repeats."""

PATH_CHARACTERS = 1_000
"""Characters of a path that an error message repeats as a whole, because it does not look like base64."""

FAULT_SECONDS = 5.0
"""Time between two handshakes with a server of this machine that only look for the fault in TLS."""

HANDSHAKE_SECONDS = 0.2
"""Time for each step of such a handshake: a server of this machine answers in a few milliseconds."""

POLL_SECONDS = 0.05
"""Time between two checks of a server that is not ready yet."""

REPLY_BYTES = 64 * 1024 * 1024
"""Bytes of the largest reply accepted: 1,024 images with all probabilities take 60 kB."""

PROGRESS_FILES = 64
"""From this many files on, the command line shows its progress, each time after this many files."""

METADATA_BYTES = 4096
"""Bytes of the metadata of a call, names and values. gRPC servers refuse headers of more than 8 KiB."""

TOKEN_THREADS = 4
"""Threads that call a client's token function at once. If this many calls block, further ones wait."""

LABELS_SECONDS = 10.0
"""Time between two requests for the labels of a version that the server does not describe."""

LABELLED_VERSIONS = 64
"""Versions whose labels a client keeps."""

STREAM_REQUESTS_IN_FLIGHT = 16
"""Most unanswered requests of one stream: enough to keep the server busy while replies travel."""
