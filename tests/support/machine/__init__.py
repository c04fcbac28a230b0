"""What the kernel says of processes, and volumes that stop answering."""
