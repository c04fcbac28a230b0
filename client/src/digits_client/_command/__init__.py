"""What the command `digits` needs beside the client."""
