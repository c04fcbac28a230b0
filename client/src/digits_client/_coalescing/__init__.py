"""Single images that are predicted at the same time share an RPC."""
