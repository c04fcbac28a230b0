"""`digits-server models`: what stands in the repository, which version answers, and how to change that.

No server is asked: the commands read and write the repository, and servers follow it.
"""
