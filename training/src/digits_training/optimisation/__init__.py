"""One step of the optimisation, and the weights that come out of all of them."""
