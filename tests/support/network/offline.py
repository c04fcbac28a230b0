"""Runs a command in a network namespace with only a loopback interface, and reports attempts to leave it.

    unshare --map-root-user --net python offline.py COMMAND [ARGUMENT …]

Exit code: the command's, or 99 when a packet for another machine was sent or could not be routed.
"""

import fcntl
import socket
import struct
import subprocess
import sys
from pathlib import Path

SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
LEFT_THE_MACHINE = 99


def bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))


def unroutable() -> int:
    """Packets in this network namespace that the kernel could not route."""
    rows = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip:")]
    counted = dict(zip(*rows, strict=True))
    six = dict(line.split() for line in Path("/proc/net/snmp6").read_text().splitlines())
    return int(counted["OutNoRoutes"]) + int(six["Ip6OutNoRoutes"])


if __name__ == "__main__":
    bring_loopback_up()
    code = subprocess.run(sys.argv[1:], check=False).returncode
    sys.exit(LEFT_THE_MACHINE if unroutable() else code)
