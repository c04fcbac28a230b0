"""Fits the weights of a network to the training images, epoch after epoch.

`fit` is the loop; `steps`, `forward`, `optimizer` and `augment` are one step of it; `checkpoint` keeps its state.
"""
