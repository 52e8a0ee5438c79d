"""A disk that does not keep what it was given: calls that are to bring it there fail with EIO, below some places.

A kill shows nothing of that, since the kernel keeps what it was given. The calls are refused by a library that the program loads
before the C library, so that it finds some files broken and others whole, and one may break and heal while it runs.
"""

import subprocess
from pathlib import Path

SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refused(int fd, const char *call) {
    const char *calls = getenv("REFUSE_SYNC"), *below = getenv("REFUSE_SYNC_BELOW"), *when = getenv("REFUSE_SYNC_WHEN");
    if (!calls || !below || strcmp(calls, call) || (when && access(when, F_OK)))
        return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    for (const char *one = below; one; one = strchr(one, ':') ? strchr(one, ':') + 1 : NULL) {
        if (!strncmp(path, one, strcspn(one, ":"))) {
            errno = EIO;
            return 1;
        }
    }
    return 0;
}

int fsync(int fd) {
    return refused(fd, "fsync") ? -1 : ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    return refused(fd, "fdatasync") ? -1 : ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""


def refusing(call: str, folder: Path, *below: str, when: Path | None = None) -> dict[str, str]:
    """The environment of a program in which a call (``fsync`` or ``fdatasync``) fails for files whose path begins so; with ``when``,
    as long as that file is there. What it needs lies in ``folder``. It takes a C compiler, as Rust does."""
    source, library = folder / "refusing.c", folder / "refusing.so"
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    environment = {"LD_PRELOAD": str(library), "REFUSE_SYNC": call, "REFUSE_SYNC_BELOW": ":".join(below)}
    return environment | ({"REFUSE_SYNC_WHEN": str(when)} if when else {})
