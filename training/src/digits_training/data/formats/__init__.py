"""Readers of labelled images, one file for each format; `folders` finds out which format is at a path.

A reader returns arrays as they are stored; `data/arrays.py` converts them.
"""
