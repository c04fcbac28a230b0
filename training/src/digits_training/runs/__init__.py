"""What every run leaves for the user, published or not, and how runs are compared.

`record` keeps a folder for each run; `compare` lists runs and draws their curves over each other; `sweep`
starts several; `other_data` evaluates a published version on data it was not made with.
"""
