"""The models that answer: the registry, the life cycle of versions, the canary and the shadow.

All of it lives on the event loop; a background thread handles files and new models.
"""
