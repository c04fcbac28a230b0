"""What a call costs its caller: this client, a bare gRPC stub, and tritonclient calling Triton, side by side."""
