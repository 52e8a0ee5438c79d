"""Commands on a terminal, as people run them, and waiting for what one has done so far."""

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Callable


class OnTerminal:
    """A command whose stderr is a terminal, which is also where Ctrl-C comes from."""

    def __init__(self, *command: str):
        self.here, there = pty.openpty()
        self.said = ""

        def take():
            fcntl.ioctl(2, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=there,
            start_new_session=True,
            preexec_fn=take,
        )
        os.close(there)

    def __enter__(self) -> "OnTerminal":
        return self

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.here)

    def until(self, pattern: str, limit_s: float = 60) -> re.Match:
        """Reads until this was said."""
        deadline = time.monotonic() + limit_s
        while not (found := re.search(pattern, self.said)):
            assert self._read(deadline), f"no {pattern!r} in {self.said[-2000:]!r}"
        return found

    def interrupt(self) -> None:
        """Presses Ctrl-C."""
        os.write(self.here, b"\x03")

    def end(self, limit_s: float = 60) -> int:
        """Reads to the end; the exit code."""
        deadline = time.monotonic() + limit_s
        while self._read(deadline):
            pass
        return self.process.wait(max(deadline - time.monotonic(), 1))

    def _read(self, deadline: float) -> bool:
        if not select.select([self.here], [], [], max(deadline - time.monotonic(), 0))[0]:
            return False
        try:
            more = os.read(self.here, 65_536)
        except OSError:  # Linux says so that nobody has the other side open any more.
            return False
        self.said += more.decode(errors="replace")
        return bool(more)


def once(process: subprocess.Popen, is_so: Callable[[], bool], limit_s: float = 60) -> None:
    """Returns when this is so; the process has to be at work until then."""
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert process.poll() is None, f"it ended with {process.returncode} before"
        assert time.monotonic() < deadline, f"not within {limit_s} s"
        time.sleep(0.005)
