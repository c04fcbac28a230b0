"""The container images: how long they take to build, and how large they are."""
