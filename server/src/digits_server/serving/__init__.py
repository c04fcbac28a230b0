"""Which model answers: the registry, its life cycle, the canary and the shadow.

It lives on the event loop; files and new models are handled in a thread beside it.
"""
