"""How HTTP requests arrive: connections, routes and who may use them, bodies, errors as answers."""
