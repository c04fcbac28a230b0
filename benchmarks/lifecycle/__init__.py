"""What swapping versions and shadowing cost the calls that are answered meanwhile."""
