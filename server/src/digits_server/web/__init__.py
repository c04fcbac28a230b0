"""HTTP: connections, routes and who may use them, request bodies, errors as answers."""
