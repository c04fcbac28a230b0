"""Model files from elsewhere, looked at before anything of them is built.

Keras files have executed code when loaded: through Lambda layers, through functions and modules named in the
configuration, through pickles, and `safe_mode` has been bypassed (CVE-2025-1550) or never applied to .h5
(CVE-2025-9905). So the file is taken apart as plain data first: a bounded zip or HDF5 file, and a configuration that is
written anew for Keras from the layers and keys that are on a list. What is not on the list never reaches Keras.
"""
