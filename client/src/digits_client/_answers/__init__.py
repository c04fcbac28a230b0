"""The results of calls: predictions, models, labels."""
