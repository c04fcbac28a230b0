"""Reads labelled images from the formats people have them in, one file for each format, into one form.

`folders` finds out which format lies at a path and calls its reader. A reader returns arrays as they are stored;
`arrays` converts them to uint8[N, 28, 28] and labels 0 to 9, or says which line converts them; `checks` warns of data
that can be read but would make a bad model. All limits are in `limits`.
"""
