"""A disk that does not keep what it was given: every ``fdatasync`` of a process and of what it starts fails with EIO; or every
``fsync`` below a directory.

A kill shows nothing of that, since the kernel keeps what it was given. The calls are refused by a seccomp filter, which a process puts
upon itself and cannot take off (seccomp(2), "SECCOMP_SET_MODE_FILTER"; the filter is classic BPF, as in linux/bpf_common.h).
"""

import ctypes
import errno
import platform
import subprocess
from pathlib import Path

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


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fsync(int fd) {
    char link[64], path[PATH_MAX];
    const char *below = getenv("REFUSE_FSYNC_BELOW");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (below && length > 0) {
        path[length] = 0;
        if (!strncmp(path, below, strlen(below))) {
            errno = EIO;
            return -1;
        }
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
"""


def refusing_fsync(folder: Path, below: Path) -> dict[str, str]:
    """The environment of a program that finds directories below another one broken; needs a C compiler, as Rust does."""
    source, library = folder / "fsync.c", folder / "fsync.so"
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "REFUSE_FSYNC_BELOW": f"{below.resolve()}/"}
