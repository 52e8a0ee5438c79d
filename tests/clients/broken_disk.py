"""Disks that go wrong: one that does not keep what it was given or is slow to, one that has become read-only, a full one.

A kill shows nothing of the first, since the kernel keeps what it was given. Calls are refused by a library that the program loads
before the C library, so that it finds some files broken and others whole, and one may break and heal while it runs. A real file
system shows the second as well, but does not heal: ``FailingDisk``.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Whether the file that this one's name holds, if there is one, is there. */
static int is_time(const char *when) {
    const char *marker = getenv(when);
    return !marker || !access(marker, F_OK);
}

static int is_below(const char *path, const char *below) {
    for (const char *one = getenv(below); one; one = strchr(one, ':') ? strchr(one, ':') + 1 : NULL) {
        if (!strncmp(path, one, strcspn(one, ":")))
            return 1;
    }
    return 0;
}

static int is_file_below(int fd, const char *below) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return is_below(path, below);
}

static int refused(int fd, const char *call) {
    const char *calls = getenv("REFUSE_SYNC"), *slow_us = getenv("SLOW_SYNC_US");
    if (!calls || strcmp(calls, call) || !is_file_below(fd, "REFUSE_SYNC_BELOW"))
        return 0;
    if (slow_us)
        usleep(atoi(slow_us));
    if (!is_time("REFUSE_SYNC_WHEN"))
        return 0;
    errno = EIO;
    return 1;
}

int fsync(int fd) {
    return refused(fd, "fsync") ? -1 : NEXT(fsync)(fd);
}

int fdatasync(int fd) {
    return refused(fd, "fdatasync") ? -1 : NEXT(fdatasync)(fd);
}

static int is_read_only(const char *path) {
    if (!getenv("READ_ONLY_BELOW") || !is_time("READ_ONLY_WHEN") || !is_below(path, "READ_ONLY_BELOW"))
        return 0;
    errno = EROFS;
    return 1;
}

static int is_file_read_only(int fd) {
    if (!getenv("READ_ONLY_BELOW") || !is_time("READ_ONLY_WHEN") || !is_file_below(fd, "READ_ONLY_BELOW"))
        return 0;
    errno = EROFS;
    return 1;
}

#define OPEN(name)                                                                          \\
    int name(const char *path, int flags, ...) {                                            \\
        va_list rest;                                                                       \\
        va_start(rest, flags);                                                              \\
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;           \\
        va_end(rest);                                                                       \\
        int writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;                    \\
        int creates = flags & O_CREAT && access(path, F_OK);                                \\
        return (writes || creates) && is_read_only(path) ? -1 : NEXT(name)(path, flags, mode); \\
    }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *bytes, size_t length) {
    return is_file_read_only(fd) ? -1 : NEXT(write)(fd, bytes, length);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    return is_file_read_only(fd) ? -1 : NEXT(pwrite)(fd, bytes, length, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    return is_file_read_only(fd) ? -1 : NEXT(pwrite64)(fd, bytes, length, at);
}

int ftruncate(int fd, off_t length) {
    return is_file_read_only(fd) ? -1 : NEXT(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    return is_file_read_only(fd) ? -1 : NEXT(ftruncate64)(fd, length);
}

int mkdir(const char *path, mode_t mode) {
    return is_read_only(path) ? -1 : NEXT(mkdir)(path, mode);
}

int rename(const char *from, const char *to) {
    return is_read_only(to) ? -1 : NEXT(rename)(from, to);
}

int unlink(const char *path) {
    return is_read_only(path) ? -1 : NEXT(unlink)(path);
}
"""


def shim(folder: Path) -> str:
    """The library, made in this folder. It takes a C compiler, as Rust does."""
    source, library = folder / "shim.c", folder / "shim.so"
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return str(library)


def refusing(call: str, folder: Path, *below: str, when: Path | None = None, slow_ms: int = 0) -> dict[str, str]:
    """The environment of a program in which a call (``fsync`` or ``fdatasync``) fails for files whose path begins so; with ``when``,
    as long as that file is there. It takes ``slow_ms`` longer at any time. What it needs lies in ``folder``."""
    environment = {"LD_PRELOAD": shim(folder), "REFUSE_SYNC": call, "REFUSE_SYNC_BELOW": ":".join(below)}
    environment |= {"REFUSE_SYNC_WHEN": str(when)} if when else {}
    return environment | ({"SLOW_SYNC_US": str(1_000 * slow_ms)} if slow_ms else {})


def read_only(folder: Path, below: str, when: Path) -> dict[str, str]:
    """The environment of a program that finds a read-only file system where a path begins so, as long as the file ``when`` is there.
    Files that are open stay open, as where a kernel remounts it."""
    return {"LD_PRELOAD": shim(folder), "READ_ONLY_BELOW": below, "READ_ONLY_WHEN": str(when)}


class FailingDisk:
    """An ext4 of its own that becomes read-only at its first error, as most of them are mounted."""

    def __init__(self, at: Path):
        self.at, self.image = at, at.with_suffix(".img")

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.at)], check=True)

    def unmount(self) -> None:
        """Waits for what still holds it: a process that was killed may need a moment."""
        for _ in range(50):
            if subprocess.run(["umount", str(self.at)], capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        subprocess.run(["umount", str(self.at)], check=True)

    def trigger(self) -> Path:
        """What the kernel has to test this with."""
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
        device = next(mount[0] for mount in mounts if mount[1] == str(self.at))
        return Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error")

    def fail(self) -> None:
        self.trigger().write_text("1")

    def mend(self) -> None:
        """What the machine does when it starts again. What was not synced is gone."""
        self.unmount()
        done = subprocess.run(["e2fsck", "-f", "-y", str(self.image)], capture_output=True, text=True)
        # 1 and 2 say that errors were there, and are not any more.
        assert done.returncode in (0, 1, 2), done.stdout
        self.mount()


@contextmanager
def failing_disk(at: Path) -> Iterator[FailingDisk]:
    disk = FailingDisk(at)
    at.mkdir()
    with disk.image.open("wb") as image:
        image.truncate(96 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", str(disk.image)], capture_output=True)
    mounted = made.returncode == 0 and subprocess.run(
        ["mount", "-o", "loop,errors=remount-ro", str(disk.image), str(at)], capture_output=True
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("no file system can be made and mounted here")
    try:
        if not os.access(disk.trigger(), os.W_OK):
            pytest.skip("this kernel cannot be asked for an error of a file system")
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


@contextmanager
def small_disk(at: Path, size_mib: int = 96) -> Iterator[Path]:
    """A file system of its own."""
    at.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "none", str(at)]).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def room(at: Path) -> int:
    found = os.statvfs(at)
    return found.f_bavail * found.f_frsize


def fill(path: Path, leave: int) -> None:
    """Takes the room of a disk but for so many bytes."""
    with path.open("wb", buffering=0) as file:
        while (left := room(path.parent) - leave) > 0:
            file.write(bytes(min(left, 1 << 20)))


def free(path: Path) -> None:
    """Gives that room back at once: a kernel may keep what was only unlinked for as long as it caches its name."""
    os.truncate(path, 0)
    path.unlink()
