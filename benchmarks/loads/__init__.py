"""What is sent to servers: payloads in each protocol, and the generators of closed-loop and open-loop load."""
