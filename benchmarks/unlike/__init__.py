"""Measures how well scores tell images without a digit from images of digits."""
