"""A process of its own in which a model file is tried before the server loads it.

`parent` starts it and takes its verdict, `child` is what runs in it, `confinement` are its limits.
"""
