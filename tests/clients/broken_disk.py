"""A disk that does not keep what it was given: every ``fdatasync`` of a process, and of what it starts, fails with EIO.

A kill shows nothing of that, since the kernel keeps what it was given. The calls are refused by a seccomp filter, which a process puts
upon itself and cannot take off (seccomp(2), "SECCOMP_SET_MODE_FILTER"; the filter is classic BPF, as in linux/bpf_common.h).
"""

import ctypes
import errno
import platform

FDATASYNC = {"x86_64": 75, "aarch64": 83}
NO_NEW_PRIVILEGES, SECCOMP, MODE_FILTER = 38, 22, 2
LOAD_WORD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
REFUSE, ALLOW = 0x00050000 | errno.EIO, 0x7FFF0000


class Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(Instruction))]


LIBC = ctypes.CDLL(None, use_errno=True)
FILTER = (Instruction * 4)(
    (LOAD_WORD, 0, 0, 0),
    (IF_EQUAL, 0, 1, FDATASYNC[platform.machine()]),
    (RETURN, 0, 0, REFUSE),
    (RETURN, 0, 0, ALLOW),
)
PROGRAM = Program(len(FILTER), FILTER)


def refuse_fdatasync() -> None:
    """For a child before it becomes the program that is to find the disk broken."""
    for arguments in ((NO_NEW_PRIVILEGES, 1, 0, 0, 0), (SECCOMP, MODE_FILTER, ctypes.byref(PROGRAM), 0, 0)):
        if LIBC.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
