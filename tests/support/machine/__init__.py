"""Data of the kernel about processes, and volumes that stop answering."""
