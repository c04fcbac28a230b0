"""Every number of the client, with its unit."""

TIMEOUT_SECONDS = 10.0
"""What a call may take unless it says otherwise, retries included."""

LONGEST_SECONDS = 365 * 24 * 3600.0
"""What no limit means: gRPC's own arithmetic overflows with larger timeouts."""

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
"""The same for image files: one is decoded while the next one travels."""

COALESCED_IMAGES = 128
"""Images of one RPC that calls share: with 256 calls in flight the server works on one while the client fills the
next."""

COALESCED_RPCS = 4
"""Such RPCs on the way at once."""

USUAL_RPC_SECONDS = 0.05
"""How long a shared RPC is taken to last before the first one has been answered."""

USUAL_RPC_WEIGHT = 0.1
"""Of each answered RPC in the running average of how long they last."""

PATIENCE = 4
"""Usual durations for which calls wait behind an RPC of their kind before they leave without it."""

LEAST_PATIENCE_SECONDS = 0.02
"""So that a pause of the garbage collector or of the scheduler does not split what belongs together."""

MOST_PATIENCE_SECONDS = 0.25
"""However slow the servers are: a call's timeout is often a second."""

WAITING_IMAGES = 8192
"""Images that wait in a client for an RPC to return, 784 bytes each: what a server lets wait, too."""

ATTEMPTS = 5
"""Tries of one RPC, the first one included, while the server is UNAVAILABLE."""

RETRY_BUFFER_BYTES = 64 * 1024 * 1024
"""Bytes of a request kept to be sent again. A larger one is never retried; gRPC's own 256 KiB is less than a chunk."""

FIRST_BACKOFF_SECONDS = 0.01
"""So that a call of 50 ms which a server cut off as it stopped is tried again in time."""

MOST_BACKOFF_SECONDS = 1.0

RETRY_TOKENS = 100
"""The retry budget of a client: a failed try takes a token, and at half of them and below nothing is retried. So a
total outage costs at most 50 retries, and one server of two may fail 50 calls at once unseen (gRFC A6, "retry
throttling")."""

RETRY_TOKENS_PER_SUCCESS = 0.1
"""So that lasting trouble is answered with one retry for ten successes at most."""

DEFAULT_PORT = 50051
"""The port of a target that names a host only."""

KEEPALIVE_MILLISECONDS = 5_000
"""Silence of a server with calls in flight, after which it is asked for a sign of life (an HTTP/2 ping)."""

KEEPALIVE_TIMEOUT_MILLISECONDS = 5_000
"""Time for the answer to that ping. Then the connection is closed, and other servers get its share."""

FIRST_RECONNECT_MILLISECONDS = 100
MOST_RECONNECT_MILLISECONDS = 500
"""Between two attempts to connect to a server that is down. gRPC adds up to a fifth; its own most is two minutes."""

CONNECT_MILLISECONDS = 5_000
"""For one attempt to connect, TLS included. Within an attempt the system tries ever more seldom, so that after gRPC's
own twenty seconds a machine that has come back would be found late."""

RESOLVE_MILLISECONDS = 1_000
"""Between two looks at the addresses of a name. gRPC's own thirty seconds are long for a server that has moved."""

EJECTION_LOOK_SECONDS = 2
EJECTION_LEAST_CALLS = 2
EJECTION_FAILURE_PERCENT = 90
EJECTION_SECONDS = 30
MOST_EJECTED_PERCENT = 50
"""Of several servers, one that failed more than this share of at least so many calls since the last look is left out
for a time (gRFC A50): a frozen one. gRPC's keepalive does not find it: every new call that is sent resets its timer."""

SHOWN_CHARACTERS = 100
"""Characters of a caller's own string that an error message repeats."""

PATH_CHARACTERS = 1_000
"""Of a path that an error message repeats as a whole, since it does not look like base64."""

FAULT_SECONDS = 5.0
"""Between two handshakes with a server of this machine that only look for what is wrong with TLS."""

HANDSHAKE_SECONDS = 0.2
"""For such a handshake to go on: a server of this machine answers in a few milliseconds."""

POLL_SECONDS = 0.05
"""Between two looks at a server that is not ready yet."""

REPLY_BYTES = 64 * 1024 * 1024
"""Bytes of the largest reply accepted: 1,024 images with all probabilities take 60 kB."""

PROGRESS_FILES = 64
"""Files of a command line from which on it tells how far it is, and between two such tellings."""

METADATA_BYTES = 4096
"""Bytes of the metadata of a call, names and values. gRPC servers refuse headers of more than 8 KiB."""

TOKEN_THREADS = 4
"""Threads in which a client asks its token function at once: so many answers may block before others wait for them."""

LABELS_SECONDS = 10.0
"""Between two questions for the labels of a version that the server does not describe."""

LABELLED_VERSIONS = 64
"""Versions whose labels a client keeps."""

STREAM_REQUESTS_IN_FLIGHT = 16
"""Requests of one stream that are not answered yet: enough to keep the server busy while replies travel."""
