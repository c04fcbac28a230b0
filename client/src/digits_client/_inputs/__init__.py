"""What callers give, as requests: images, batches of any length, sources that are read as they come."""
