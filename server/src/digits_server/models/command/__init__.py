"""`digits-server models`: lists the versions in the repository, shows which version answers, and changes that.

The commands do not contact a server: they read and write the repository, and servers follow it.
"""
