"""The limits that a process sets for itself before it loads an untried model: memory, time, network, system calls.

The limits apply to this process alone and cannot be removed. A limit that the system does not offer is left out: limits
work on every Unix, the filter of system calls on Linux with x86-64 or ARM64.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Largest file that may be written: Keras gets a copy of its model, and the answer is short."""

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SECCOMP_MODE_FILTER = 2
"""prctl(2)"""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
"""Operations of a filter: load a number of the call; jump if it equals, or is at least, a constant; decide."""

_NUMBER, _FIRST_ARGUMENT = 0, 16
"""Offsets of a call's number and of the lower half of its first argument in struct seccomp_data."""

_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001
"""SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with EPERM."""

_X32 = 0x40000000
"""System calls from this number on belong to the x32 interface of x86-64, whose numbers are not in the list."""

REFUSED = {
    "x86_64": (
        *(41, 42, 44, 46, 49, 50, 53),  # socket connect sendto sendmsg bind listen socketpair
        *(57, 58, 59, 322),  # fork vfork execve execveat
        *(62, 200, 297, 129, 424),  # kill tkill rt_tgsigqueueinfo rt_sigqueueinfo pidfd_send_signal
        *(101, 310, 311, 438, 425),  # ptrace process_vm_readv process_vm_writev pidfd_getfd io_uring_setup
        *(165, 272, 302),  # mount unshare prlimit64
    ),
    "aarch64": (
        *(198, 203, 206, 211, 200, 201, 199),
        *(221, 281),
        *(129, 130, 240, 138, 424),
        *(117, 270, 271, 438, 425),
        *(40, 97, 261),
    ),
}
"""Numbers of the system calls that the filter rejects, by machine."""

TGKILL = {"x86_64": 234, "aarch64": 131}
"""The system call with which abort() ends its own process: allowed for this process only."""


def die_with_parent() -> None:
    """Asks the system to kill this process when its parent ends. Does nothing except on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        with suppress(OSError):  # if memory runs out, this process is killed first
            Path("/proc/self/oom_score_adj").write_text("1000")


def limit(memory: int, seconds: int) -> None:
    """Bounds the address space, in bytes, and the processor's time."""
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # macOS has no limit of the address space; a sandbox may refuse the call
            hard = resource.getrlimit(kind)[1]
            bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (bound, bound))


def supported() -> bool:
    """Whether the filter knows this system."""
    return sys.platform == "linux" and platform.machine() in REFUSED and sys.maxsize > 2**32


def filter_calls() -> bool:
    """Rejects system calls that no model needs: network, programs, other processes. False if the system has no filter.

    Call it once everything is imported and while there is one thread: later threads inherit the filter.
    """
    if not supported():
        return False
    program = _program(platform.machine())
    code = ctypes.create_string_buffer(b"".join(program))
    head = struct.pack("@HP", len(program), ctypes.addressof(code))  # struct sock_fprog
    libc = ctypes.CDLL(None)
    return bool(
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        and libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(head)) == 0
    )


def _program(machine: str) -> list[bytes]:
    """Instructions of the filter (https://docs.kernel.org/userspace-api/seccomp_filter.html)."""
    refused = REFUSED[machine]
    count = len(refused)
    return [
        _instruction(_LOAD, _NUMBER),
        _instruction(_AT_LEAST, _X32, then=count + 3),
        *(_instruction(_EQUAL, number, then=count + 2 - place) for place, number in enumerate(refused)),
        _instruction(_EQUAL, TGKILL[machine], otherwise=3),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_EQUAL, os.getpid(), then=1),
        _instruction(_RETURN, _REFUSE),
        _instruction(_RETURN, _ALLOW),
    ]


def _instruction(operation: int, constant: int, then: int = 0, otherwise: int = 0) -> bytes:
    """One struct sock_filter; `then` and `otherwise` are how many instructions to skip."""
    return struct.pack("=HBBI", operation, then, otherwise, constant)
