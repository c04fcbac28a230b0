"""Model repositories and model files: good ones, variants of them, and those that attack what reads them."""
