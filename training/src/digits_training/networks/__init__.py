"""The networks that this package has, TensorFlow as they need it, and their predictions.

A network of the user's own is in `own_network`, a model file from elsewhere in `importing`.
"""
