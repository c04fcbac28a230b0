"""What a person may choose from."""
