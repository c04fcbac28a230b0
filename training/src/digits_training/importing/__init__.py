"""Models from elsewhere, loaded after every check of `untrusted` and adapted to raw pixels.

`loading` reads .keras and .h5 files; `saved_model` rebuilds a SavedModel; `adapting` makes the model one of ours.
"""
