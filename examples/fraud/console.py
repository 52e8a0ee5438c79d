"""What the demo says and how: numbered steps with their time, the commands it types, colour only on a terminal."""

import os
import shlex
import sys
import time
from contextlib import contextmanager

INDENT = " " * 8


class Console:
    """Writes to stdout. ``steps`` is how many steps there will be."""

    def __init__(self, steps: int):
        self.steps = steps
        self.number = 0
        self.title = ""
        self.colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self.started = time.perf_counter()

    @contextmanager
    def step(self, title: str):
        """Numbers and names a step, and says how long it took once it has gone well."""
        self.number += 1
        self.title = title
        self.write(f"\n{self.paint(f'[{self.number:>2}/{self.steps}]', '36')} {self.paint(title, '1')}")
        start = time.perf_counter()
        yield
        self.line(self.paint(f"✓ {seconds(time.perf_counter() - start)}", "32"))

    def command(self, text: str) -> None:
        """A command that a person could type."""
        self.line(self.paint(f"$ {text}", "2"))

    def line(self, text: str = "") -> None:
        """A line that belongs to the current step."""
        self.write(INDENT + text)

    def heading(self, text: str) -> None:
        """A title outside the steps."""
        self.write(f"\n{self.paint(text, '1')}")

    def failure(self, text: str) -> None:
        """The sentence that says what went wrong."""
        self.write(f"\n{self.paint('✗ ' + text, '31')}")

    def excerpt(self, title: str, lines: list[str]) -> None:
        """The end of a log, if there is one."""
        if lines:
            self.heading(title)
            for text in lines:
                self.line(text)

    def elapsed_s(self) -> float:
        """Seconds since the console was made."""
        return time.perf_counter() - self.started

    def paint(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    @staticmethod
    def write(text: str) -> None:
        print(text, flush=True)


def typed(words: list[str]) -> str:
    """A command as a person would type it: double quotes around what holds single ones."""
    return " ".join(
        f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word) for word in words
    )


def seconds(duration_s: float) -> str:
    """A duration for a person: milliseconds below a second."""
    return f"{duration_s * 1000:.0f} ms" if duration_s < 1 else f"{duration_s:.1f} s"
