"""A separate process with limits, in which a model file is tried before the server loads it.

`parent` starts the process and reads its answer, `child` runs in it, `confinement` sets its limits.
"""
