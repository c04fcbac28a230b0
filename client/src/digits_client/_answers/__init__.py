"""What callers get: predictions, models, labels."""
