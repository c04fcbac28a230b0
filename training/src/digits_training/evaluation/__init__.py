"""How good a model is: its figures, and how people see them.

`figures` computes them; `plots` draws them; `model_card` describes the model in words.
"""
