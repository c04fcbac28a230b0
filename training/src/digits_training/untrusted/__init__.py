"""Model files from elsewhere, checked before any part of them is built.

Keras files can execute code when they are loaded: through Lambda layers, pickles, and functions and modules named in
the configuration. `safe_mode` has been bypassed (CVE-2025-1550) or was not applied to .h5 (CVE-2025-9905). So the file
is first read as plain data: a zip or HDF5 file of limited size, and a configuration. The configuration is rewritten
for Keras with only the layers and keys that are on a list. Everything else never reaches Keras.
"""
