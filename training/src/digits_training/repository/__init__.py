"""Versions in the model repository: written whole, described, signed, read again.

`publish` writes a version, `manifest` describes it, `served` says which version a server would serve.
"""
