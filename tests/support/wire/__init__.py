"""HTTP/2 and HTTP byte by byte, as no library would send them, and messages that are damaged or at their worst."""
