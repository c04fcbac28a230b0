"""Envoy as the HTTP/2 front, in the same process: it embeds Python and hands over each call (pyvoy).

`launch` turns the process into Envoy; `inside` is what Envoy then runs; `transport` answers the calls.
"""
