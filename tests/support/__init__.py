"""Helpers for tests, in a package for each purpose.

servers   real servers          client    both clients, scripted servers    models    repositories and model files
calls     calls and answers     wire      HTTP byte by byte                  pictures  images, and the page
load      load without a pause  attacks   attacks and fuzzers                programs  other programs beside a server
network   names, ports, TLS     machine   processes and volumes              faults    modules that break a server
training  small networks, and model files and configurations of attackers

At the door, for every test: `waiting` with a deadline, `needs` beside Python, what processes make once (`shared`), the
table of robustness (`records`) and the list of public names (`public_names`).
"""
